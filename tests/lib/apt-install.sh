#!/usr/bin/env bash
# Installs packages with apt, as root, without starting their services.
# usage: apt-install.sh PACKAGE...
# For the time of the installation /usr/sbin/policy-rc.d forbids to start anything; afterwards what
# stood there before stands there again, also after a failure, an interrupt or, with the next run, a
# kill -9. The rest of the machine's apt configuration is left alone.
set -euo pipefail

policy=/usr/sbin/policy-rc.d
kept=$policy.before-sb
mark='# laid here by sb while packages are being installed'
log=''

put_back() {
  if [ -e "$kept" ] || [ -L "$kept" ]; then
    mv -f "$kept" "$policy"
  elif [ -f "$policy" ] && grep -qxF "$mark" "$policy"; then
    rm -f "$policy"
  fi
}

forbid_services() {
  put_back
  if [ -e "$policy" ] || [ -L "$policy" ]; then
    mv "$policy" "$kept"
  fi
  printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy.sb-new"
  chmod 755 "$policy.sb-new"
  mv "$policy.sb-new" "$policy"
}

cleanup() {
  [ "$1" = 0 ] || tail -n 15 "$log" >&2
  put_back
  rm -f "$policy.sb-new" "$log"
}

# One line per step of apt, whatever the number of packages.
progress() {
  awk '
    function step(text) { printf "  %s\n", text; fflush() }
    /^Need to get /          { step("downloading: " substr($0, 13)) }
    /^Unpacking / && !u++    { step("unpacking") }
    /^Setting up / && !s++   { step("setting up") }'
}

apt() {
  local status=0
  apt-get -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" \
    </dev/null 9>&- 2>&1 | tee -a "$log" | progress || status=$?
  return "$status"
}

update() {
  printf '  fetching the package lists\n'
  apt update
}

install() {
  apt install -y --no-install-recommends "$@"
}

main() {
  [ $# -gt 0 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
  export DEBIAN_FRONTEND=noninteractive LC_ALL=C
  exec 9>/run/sb-apt-install.lock
  flock 9
  log=$(mktemp)
  trap 'cleanup $?' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  forbid_services
  if ! apt-get -s -qq install --no-install-recommends "$@" >/dev/null 2>&1; then
    update
    install "$@"
  elif ! install "$@"; then
    update # lists out of date: the files they name are gone from the mirror
    install "$@"
  fi
}

main "$@"
