# shellcheck shell=bash
# Sourced by demo.sh and test.sh: messages, colours, elapsed time.

# NO_COLOR (https://no-color.org) and pipes get plain text.
use_color() {
  [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ] && [ -t 1 ]
}

set_colors() {
  bold='' red='' green='' dim='' plain=''
  if use_color; then
    bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' dim=$'\e[2m' plain=$'\e[0m'
  fi
}

say() { printf '%s\n' "$*"; }

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# stage NAME: ends the stage before with its time and opens the next one; stage "" only ends.
stage_name='' stage_start=0 stage_times=()
stage() {
  if [ -n "$stage_name" ]; then
    local took=$((SECONDS - stage_start))
    stage_times+=("$took s  $stage_name")
    printf '%s   %s: %d s%s\n' "$dim" "$stage_name" "$took" "$plain"
  fi
  stage_name=$1 stage_start=$SECONDS
  [ -z "$1" ] || printf '%s== %s%s\n' "$bold" "$1" "$plain"
}

# The machine's own memory and processors decide how much runs at once.
job_count() { nproc 2>/dev/null || echo 2; }

set_colors
: "$bold$red$green$dim$plain"
