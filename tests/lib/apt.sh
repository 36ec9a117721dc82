# shellcheck shell=bash
# Sourced by demo.sh and test.sh: what each of them needs from Debian, and installing what is missing.
# Needs shell.sh.

# shellcheck disable=SC2034  # for the scripts that source this file
{
  build_packages=(gcc libc6-dev cmake ninja-build pkg-config libpaho-mqtt-dev libcjson-dev
    libinih-dev libsqlite3-dev libssl-dev zlib1g-dev)
  run_packages=(mosquitto mosquitto-clients openssl)
  test_packages=(libcmocka-dev python3 python3-pytest python3-paho-mqtt python3-cryptography
    tzdata pyflakes3 clang-format clang-tidy cppcheck shellcheck)
}

apt_lib=$(dirname "${BASH_SOURCE[0]}")

# missing_packages PACKAGE...: those that dpkg does not know as installed
missing_packages() {
  local package
  for package; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
      printf '%s\n' "$package"
  done
}

# install_packages PACKAGE...: installs what is missing; services of new packages are not started.
# Does nothing, and needs no rights, when all is there.
install_packages() {
  local missing as_root=()
  command -v apt-get >/dev/null ||
    die "this is not a Debian machine; needed are (names of Debian 12): $* (then use --no-install)"
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null ||
      die "not root and no sudo; have root run: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing ${#missing[@]} packages: ${missing[*]}"
  "${as_root[@]}" bash "$apt_lib/apt-install.sh" "${missing[@]}" ||
    die "installing failed; needed are: ${missing[*]}"
}
