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
# shellcheck source=tests/lib/demo_two_way.sh
. tests/lib/demo_two_way.sh

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
    exit 0
  fi
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do stop "${pids[i]}"; done
  if [ -n "$work" ] && [ "$status" != 0 ]; then
    say "the logs stay in $work" >&2
  elif [ -n "$work" ]; then
    rm -rf "$work"
  fi
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

# free_port: a loopback port nobody listens on, below those the kernel hands out
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
}

# number JSON NAME: the first member of that name
number() { sed -n "s/.*\"$2\":\([0-9]*\).*/\1/p" <<<"$1" | head -n 1; }

# wait_for SECONDS WHAT COMMAND...: until the command succeeds
wait_for() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || die "waited in vain for $what"
    sleep 0.1
  done
}

edge() { "$edge_agent" --config "$work/agent.conf" "$@"; }
cloud() { "$cloud_ingest" --config "$work/ingest.conf" "$@"; }

make_identities() {
  local make=$root/certs/make-certs.sh pki=$work/pki
  "$make" init "$pki" --quiet
  "$make" broker "$pki" localhost 127.0.0.1 --quiet
  "$make" ingest "$pki" 1 --quiet
  "$make" device "$pki" demo-device --quiet
  "$make" operator "$pki" demo --quiet
  cp "$pki/brokers/localhost.crt" "$pki/broker.crt"
  cp -p "$pki/brokers/localhost.key" "$pki/broker.key"
}

# identity FILE-STEM: the [broker] section of a program
identity() {
  printf '[broker]\nurl = mqtts://localhost:%s\n' "$device_port"
  printf 'ca_file = %s\ncert_file = %s.crt\nkey_file = %s.key\n' "$work/pki/device-ca.crt" "$1" "$1"
}

write_configurations() {
  local user=()
  device_port=$(free_port) operator_port=$(free_port)
  while [ "$operator_port" = "$device_port" ]; do operator_port=$(free_port); done
  [ "$(id -u)" != 0 ] || user=(--user root)
  mkdir "$work/broker" "$work/edge" "$work/cloud"
  cloud_ingest/broker/render.sh --cert-dir "$work/pki" --persistence-dir "$work/broker" --bind 127.0.0.1 \
    --device-port "$device_port" --operator-port "$operator_port" --operator demo "${user[@]}" "$work" >/dev/null
  {
    identity "$work/pki/devices/demo-device"
    # waits are shortened, so that the demonstration takes seconds where the defaults take half a minute
    printf 'flap_wait = 1s\n[agent]\nstate_dir = %s\n[sync]\nsync_history = yes\n' "$work/edge"
    printf '[collector]\ninterval = 100ms\n[pacer]\nretry_min = 1s\nhello_refused_min = 1s\n'
  } >"$work/agent.conf"
  {
    identity "$work/pki/ingests/_ingest-1"
    printf '[ingest]\nstate_dir = %s\n' "$work/cloud"
  } >"$work/ingest.conf"
}

start_broker() {
  start mosquitto "$mosquitto" -c "$work/mosquitto.conf"
  broker=$started
  wait_for 10 'the broker' grep -q 'mosquitto version .* running' "$work/mosquitto.log"
}

start_ingest() {
  start cloud_ingest "$cloud_ingest" --config "$work/ingest.conf" run
  ingest=$started
  wait_for 10 'cloud_ingest' cloud status
}

start_agent() {
  start edge_agent "$edge_agent" --config "$work/agent.conf" "$@" run
  agent=$started
  wait_for 10 'edge_agent' agent_answers
}
agent_answers() { edge status --json | grep -q '"running":true'; }
settled() { edge status --json | grep -q '"pending_count":0,'; }

# crash PID: kill -9, without bash's own message
crash() {
  kill -9 "$1"
  wait "$1" 2>/dev/null || true
}

# Commands of a robot, each first running, then succeeded: the second is a revision of the first.
history_of_commands() {
  local i
  for ((i = 1; i <= 40; i++)); do
    printf '{"command_id":"cmd-%03d","trace_id":"run-1","robot_id":"robot-7","command_type":"pick",' "$i"
    printf '"status":"running"}\n{"command_id":"cmd-%03d","trace_id":"run-1","robot_id":"robot-7",' "$i"
    printf '"command_type":"pick","status":"succeeded"}\n'
  done
}

# Something to be in the middle of when a process is killed. Its pid is in $burst.
start_burst() {
  seq 1 60000 | sed 's/.*/{"value":&}/' | edge put sensors/burst >/dev/null &
  burst=$!
  sleep 0.08
}

send_input() {
  local format=()
  case $input in
    *.ndjson | *.jsonl | *.ndjson.gz | *.jsonl.gz) format=(--format ndjson) ;;
  esac
  say "importing $input"
  edge import --stream sensors/demo_input "${format[@]}" "$input" || die "the import failed"
}

pending_line() {
  local status
  status=$(edge status --json)
  say "   $1: $(number "$status" pending_count) records wait on the device"
}

run_the_job() {
  local before
  start_broker
  start_ingest
  cloud device grant demo-device demo-user >/dev/null
  start_agent
  say 'readings of this machine flow, ten a second; now command history and settings'
  history_of_commands | edge put history --user demo-user >/dev/null
  edge settings put --user demo-user '{"theme":"dark","language":"zh-TW","notification_enabled":true}' >/dev/null
  [ -z "$input" ] || send_input
  sleep 3
  pending_line 'all is well'

  say 'kill -9 of the broker in mid-stream, and everything it kept is wiped'
  start_burst
  crash "$broker"
  rm -rf "${work:?}/broker"/* && : >"$work/mosquitto.log"
  history_of_commands | sed 's/run-1/run-2/' | edge put history --user demo-user >/dev/null
  wait "$burst" || die 'put failed while the broker was away'
  sleep 2
  pending_line 'without a broker'
  before=$SECONDS
  start_broker
  wait_for 60 'the backlog' settled_but_for_the_newest
  say "   the broker is back: caught up after $((SECONDS - before)) s"

  say 'kill -9 of the ingest in mid-stream'
  start_burst
  crash "$ingest"
  edge settings put --user demo-user '{"theme":"light","language":"zh-TW","notification_enabled":false}' >/dev/null
  wait "$burst" || die 'put failed while the ingest was away'
  sleep 2
  pending_line 'without an ingest'
  before=$SECONDS
  start_ingest
  wait_for 60 'the backlog' settled_but_for_the_newest
  say "   the ingest is back: caught up after $((SECONDS - before)) s"
}
# Readings keep coming: what is left is at most those of the last moment.
settled_but_for_the_newest() { [ "$(number "$(edge status --json)" pending_count)" -le 2 ]; }

# The collector rests, so that the figures stand still while they are compared.
come_to_rest() {
  kill -9 "$agent"
  wait "$agent" 2>/dev/null || true
  say 'kill -9 of the agent; it starts again with the collector off'
  start_agent --set collector.enabled=no
  wait_for 60 'the rest' settled
}

row() { printf '   %-44s %12s\n' "$1" "$2"; }

show_the_table() {
  local status verify total
  status=$(edge status --json)
  if verify=$(cloud verify --fresh 10s --json); then verified=1; else verified=''; fi
  total=${verify#*'"total":{'}
  total=${total%%'}'*}
  made=$(number "$total" made) lacking=$(number "$total" missing) doubles=$(number "$total" doubles)
  stored=$(($(number "$total" stored) + $(number "$total" duplicates) + $(number "$total" revised)))
  conflicts=$(number "$total" conflict)
  dead=$(number "$status" failed_count) holes=$(number "$total" holes) left=$(number "$status" pending_count)
  say ''
  row 'enqueued on the devices' "$made"
  row 'stored in the cloud' "$stored"
  row 'of these further revisions of a command' "$(number "$total" revised)"
  row 'edits in conflict, kept and decided' "$conflicts"
  row 'duplicates absorbed (sent again after a kill)' "$(number "$total" repeats)"
  row 'dead letters' "$dead"
  row 'declared holes' "$holes"
  row 'still on the device' "$left"
  row 'stored twice' "$doubles"
  row "${bold}missing" "$lacking$plain"
  say ''
  cloud settings --user demo-user || true
}

judge() {
  if [ -z "$verified" ] || [ "$lacking" != 0 ] || [ "$doubles" != 0 ] || [ "$left" != 0 ] || [ "$made" = 0 ] ||
    [ "$stored" != $((made - dead - holes - conflicts)) ] || [ "$dead" != 0 ]; then
    die 'that is not what was promised'
  fi
  say "${green}every record is in the cloud once$plain"
}

say_how_to_look() {
  stop "$agent"
  start_agent
  cat <<TXT

Everything is left running in $work. To look around:

  $edge_agent --config $work/agent.conf status
  $edge_agent --config $work/agent.conf put sensors/air_quality --wait 10s '{"pm2_5":12.5}'
  $cloud_ingest --config $work/ingest.conf verify --fresh 5s
  $cloud_ingest --config $work/ingest.conf readings --device demo-device --type system --limit 5
  $cloud_ingest --config $work/ingest.conf history --user demo-user --limit 5
  mosquitto_sub -h localhost -p $operator_port -V 5 -v -t 'sb/v1/state/+' -t 'sb/v1/event/+' \\
    --cafile $work/pki/device-ca.crt --cert $work/pki/operators/_op-demo.crt \\
    --key $work/pki/operators/_op-demo.key

To end it: kill $agent $ingest $broker && rm -r $work
TXT
}

demonstrate() {
  mosquitto=$(PATH=$PATH:/usr/sbin command -v mosquitto) || die 'mosquitto is not installed'
  make_identities
  write_configurations
  run_the_job
  show_two_way
  come_to_rest
  show_the_table
  judge
  [ -z "$keep" ] || say_how_to_look
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
