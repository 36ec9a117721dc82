#!/usr/bin/env bash
# Builds the project and runs every check and test, then says how many passed, failed and were skipped.
#
# usage: ./test.sh [--long] [--only REGEX] [--no-install] [--help]
#   --long         full rounds and seeds (about half an hour on two processors); writes tests/REPORT-long.md
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

# The sanitizers of gcc 12 do not start reliably where the kernel spreads addresses over more than 28
# bits (Debian 12's own does not); then tests run without that spreading, if the machine allows it.
launcher=()
if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 28)" -gt 28 ] &&
  setarch -R true 2>/dev/null; then
  launcher=(setarch -R)
fi

# wanted PRESET LABELS: whether any of these tests is to run; says so before the build.
wanted() {
  [ -z "$only" ] ||
    [ "$(ctest --test-dir "build/$1" -N -L "^($2)\$" -R "$only" 2>/dev/null |
      sed -n 's/^Total Tests: //p')" != 0 ]
}

# check PRESET LABELS JOBS [TARGET...]: configures, builds the targets and runs the tests of these
# labels. A build that fails is a result of its own; what was built is tested all the same. The
# outcomes are read from the result file.
check() {
  local preset=$1 labels=$2 parallel=$3 options
  shift 3
  if ! cmake --preset "$preset" "${configure_options[@]}" >"$results/configure-$preset.log" 2>&1; then
    cat "$results/configure-$preset.log"
    echo "configure $preset" >>"$results/broken"
    return
  fi
  wanted "$preset" "$labels" || return
  if [ $# -gt 0 ]; then
    stage "build $preset: $*"
    ninja -C "build/$preset" -k 0 --quiet "$@" || echo "build $preset" >>"$results/broken"
  fi
  options=(-L "^($labels)\$" -j "$parallel" --output-on-failure --no-tests=ignore
    --test-output-size-passed 65536) # skipped cases are read from it
  [ -z "$only" ] || options+=(-R "$only")
  stage "test ${labels//|/, } ($preset)"
  rm -rf "build/$preset/pytest"
  "${launcher[@]}" ctest --test-dir "build/$preset" "${options[@]}" --output-junit "$root/$results/$preset.$labels.xml" 2>&1 |
    grep -vE "$noise"
  [ -s "$results/$preset.$labels.xml" ] || echo "ctest $labels in $preset" >>"$results/broken"
}

# What ctest and pytest say beside the results.
noise='^(Internal ctest|Test project| +Start |Label Time|Total Test time|[a-z]+ += )|^$|tests passed'
noise+='|^The following|^Errors while|^Looked in|^(Unable to|Could not) find executable|^-+ generated xml'
noise+='|^\S*/(test|fuzz|sim)_\w+$|^\s+[0-9]+ - \S+ \('

if [ -n "$install" ]; then
  stage 'packages'
  install_packages "${build_packages[@]}" "${run_packages[@]}" "${test_packages[@]}"
fi

rm -rf "$results"
mkdir -p "$results"

check dev lint 1
check asan 'unit|fuzz' "$jobs" unit_tests fuzz_tests
check tsan threads "$jobs" thread_tests
check ci sim "$jobs" sim_tests
check ci system "$((jobs + 1))" daemons # they wait more than they work
stage ''

printf '%s\n' "${stage_times[@]}" >"$results/stages"
report=()
[ -z "$long" ] || [ -n "$only" ] || report=(--report tests/REPORT-long.md)
/usr/bin/python3 tests/lib/summary.py "$results" "${report[@]}"
