#!/usr/bin/env bash
# Shows the bridge at work on this machine: installs what is missing, builds, and runs the programs in
# a temporary folder on loopback ports. Nothing is left behind but the installed packages and build/.
#
# usage: ./demo.sh [--input FILE] [--keep] [--no-color] [--help]
#   --input FILE   also send the readings of this file (CSV or NDJSON)
#   --keep         leave everything running and say how to look around
#   --no-color     plain text, as with NO_COLOR=1 or into a pipe
#
# Needs Debian 12 and, if packages are missing, root or sudo.
set -euo pipefail
root=$(cd "$(dirname "$0")" && pwd)
start_folder=$PWD
cd "$root"

input='' keep=''
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"; }
parse_arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      --input) [ $# -gt 1 ] || { echo "demo.sh: --input needs a file" >&2; exit 2; }; input=$2; shift ;;
      --input=*) input=${1#*=} ;;
      --keep) keep=1 ;;
      --no-color | --no-colour) export NO_COLOR=1 ;;
      -h | --help) usage; exit 0 ;;
      *) echo "demo.sh: unknown argument $1; see --help" >&2; exit 2 ;;
    esac
    shift
  done
  case $input in
    '' | /*) ;;
    *) input=$start_folder/$input ;;
  esac
  [ -z "$input" ] || [ -r "$input" ] || { echo "demo.sh: cannot read $input" >&2; exit 2; }
}

parse_arguments "$@"
# shellcheck source=tests/lib/shell.sh
. tests/lib/shell.sh
# shellcheck source=tests/lib/apt.sh
. tests/lib/apt.sh

# --- what is started, and how it ends ---

work='' pids=()
edge_agent=$root/build/release/bin/edge_agent
cloud_ingest=$root/build/release/bin/cloud_ingest

# start NAME COMMAND...: runs in the background with its output in $work/NAME.log; its pid is in $started
start() {
  local name=$1
  shift
  "$@" >>"$work/$name.log" 2>&1 &
  started=$!
  pids+=("$started")
}

# stop PID: asks it to end, waits up to 5 s, then insists
stop() {
  local pid=$1 deadline=$((SECONDS + 5))
  kill "$pid" 2>/dev/null || return 0
  while kill -0 "$pid" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.05; done
  kill -9 "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}

# Newest first: the daemons before the broker.
cleanup() {
  local status=$? i
  trap - EXIT INT TERM HUP
  if [ -n "$keep" ] && [ "$status" = 0 ]; then
    say "left running in $work (pids: ${pids[*]:-none})"
    exit 0
  fi
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do stop "${pids[i]}"; done
  [ -z "$work" ] || rm -rf "$work"
  exit "$status"
}

prepare_folder() {
  work=$(mktemp -d "${TMPDIR:-/tmp}/sb-demo.XXXXXX")
  chmod 700 "$work"
}

# --- the steps ---

build() {
  local log=build/demo-build.log
  mkdir -p build
  if ! { cmake --preset release -DBUILD_TESTING=OFF && cmake --build build/release; } >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    die "the build failed; all of its output is in $log"
  fi
}

demonstrate() {
  local version program
  for program in "$edge_agent" "$cloud_ingest"; do
    version=$("$program" --version) || die "$program --version failed"
    say "$version"
  done
  [ -z "$input" ] || say "input: $input"
}

trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

stage 'packages'
install_packages "${build_packages[@]}" "${run_packages[@]}"
stage 'build'
build
stage 'demonstration'
prepare_folder
demonstrate
stage ''
