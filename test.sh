#!/usr/bin/env bash
# Builds the project and runs every check and test, then says how many passed, failed and were skipped.
#
# usage: ./test.sh [--long] [--only REGEX] [--no-install] [--help]
#   --long         full rounds and seeds (hours); writes tests/REPORT-long.md
#   --only REGEX   only tests whose name matches (names as in the output, such as unit.outbox)
#   --no-install   do not install missing packages
#
# Needs Debian 12 and, if packages are missing, root or sudo. Exit status 1 if anything failed.
# Tests on recorded data look for it in $SB_SHARED_DATA (default ../shared/data) and are skipped
# when it is not there.
set -uo pipefail
root=$(cd "$(dirname "$0")" && pwd)
cd "$root" || exit 1
# shellcheck source=tests/lib/shell.sh
. tests/lib/shell.sh
# shellcheck source=tests/lib/apt.sh
. tests/lib/apt.sh

long='' only='' install=1
while [ $# -gt 0 ]; do
  case $1 in
    --long) long=1 ;;
    --only) [ $# -gt 1 ] || die "--only needs a regular expression"; only=$2; shift ;;
    --only=*) only=${1#*=} ;;
    --no-install) install='' ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) die "unknown argument $1; see --help" ;;
  esac
  shift
done

export SB_SHARED_DATA=${SB_SHARED_DATA:-$root/../shared/data}
jobs=$(job_count)
results=build/results
configure_options=()
if [ -n "$long" ]; then
  export SB_LONG=1
  configure_options+=(-DSB_TIMEOUT_FACTOR=60)
else
  unset SB_LONG
  configure_options+=(-DSB_TIMEOUT_FACTOR=1)
fi

# build PRESET TARGET...: a failure is a result of its own; what was built is tested all the same.
build() {
  local preset=$1
  shift
  stage "build $preset"
  if ! cmake --preset "$preset" "${configure_options[@]}" >"$results/configure-$preset.log" 2>&1; then
    cat "$results/configure-$preset.log"
    echo "configure $preset" >>"$results/broken"
  elif [ $# -gt 0 ] && ! ninja -C "build/$preset" -k 0 --quiet "$@"; then
    echo "build $preset" >>"$results/broken"
  fi
}

# run PRESET LABELS JOBS: the tests of these labels; their outcome is read from the result file.
run() {
  local options=(-L "^($2)\$" -j "$3" --output-on-failure --no-tests=ignore)
  [ -f "build/$1/CTestTestfile.cmake" ] || return 0
  [ -z "$only" ] || options+=(-R "$only")
  stage "test $2 ($1)"
  rm -rf "build/$1/pytest"
  ctest --test-dir "build/$1" "${options[@]}" --output-junit "$root/$results/$1.$2.xml" |
    grep -vE '^(Internal ctest|Test project| +Start |Label Time|Total Test time|[a-z]+ += )|^$|tests passed|^The following|^Errors while|^Looked in|^\S*/(test|fuzz)_\w+$'
}

if [ -n "$install" ]; then
  stage 'packages'
  install_packages "${build_packages[@]}" "${run_packages[@]}" "${test_packages[@]}"
fi

rm -rf "$results"
mkdir -p "$results"

build dev
run dev lint 1
build asan unit_tests fuzz_tests
run asan 'unit|fuzz' "$jobs"
build tsan thread_tests
run tsan threads "$jobs"
build ci all sim_tests
run ci sim "$jobs"
run ci system "$jobs"
stage ''

printf '%s\n' "${stage_times[@]}" >"$results/stages"
report=()
[ -z "$long" ] || report=(--report tests/REPORT-long.md)
/usr/bin/python3 tests/lib/summary.py "$results" "${report[@]}"
