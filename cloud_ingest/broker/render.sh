#!/bin/sh
# Renders mosquitto.conf.in and acl.in into a folder: OUT/mosquitto.conf and OUT/acl.
set -eu
umask 022

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
program=$(basename -- "$0")

usage() {
  cat <<EOF
usage: $program --cert-dir DIR --persistence-dir DIR [options] OUT

Writes OUT/mosquitto.conf and OUT/acl. Run again after a change; the broker reads the ACL anew on
SIGHUP, the listeners after a restart.

  --cert-dir DIR               device-ca.crt, operator-ca.crt, broker.crt, broker.key
  --broker-cert FILE           instead of DIR/broker.crt
  --broker-key FILE            instead of DIR/broker.key
  --persistence-dir DIR        where the broker keeps its state; its user must be able to write it
  --device-port PORT           default 8883
  --operator-port PORT         default 8884
  --bind ADDRESS               address of the devices' listener (default: all)
  --operator-bind ADDRESS      address of the operators' listener (default: as --bind)
  --ingest N                   an ingest, CN _ingest-N; repeat for several (default: 1)
  --operator NAME              an operator, CN _op-NAME; repeat for several (default: none)
  --client-ids guarded|any     guarded (default): no operator takes a device's or an ingest's
                               client id; any: see the comment in mosquitto.conf.in
  --acl FILE                   write the ACL to FILE instead of OUT/acl
  --max-queued-messages N      default 1000, as stock
  --max-inflight-messages N    default 20, as stock
  --autosave-interval SECONDS  default 1800, as stock
  --user NAME                  user to become when started as root (mosquitto's own default:
                               mosquitto)
  --pid-file FILE
  --log-dest DEST              default stderr; see mosquitto.conf(5)
  --log-type TYPE              default: mosquitto's; "all" shows every packet
  --conf-d                     a snippet for the conf.d of a broker that is there already: without
                               what its main file says (persistence folder, user, pid file, log)
  --help

Exit status: 0 done, 1 failed, 2 usage.
EOF
}

usage_error() {
  echo "$program: $1" >&2
  echo "try: $program --help" >&2
  exit 2
}

fail() {
  echo "$program: $1" >&2
  exit 1
}

is_number() {
  case $1 in
  '' | *[!0123456789]* | ??????????*) return 1 ;;
  esac
}

is_name() {
  case $1 in
  '' | *[!ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-]*) return 1 ;;
  esac
  [ "${#1}" -le 60 ]
}

# need_number OPTION VALUE MIN MAX
need_number() {
  if ! is_number "$2" || [ "$2" -lt "$3" ] || [ "$2" -gt "$4" ]; then
    usage_error "$1 $2: a number from $3 to $4 is needed"
  fi
}

# mosquitto resolves relative paths against its own working directory.
absolute() {
  case $1 in
  /*) printf '%s' "$1" ;;
  *) printf '%s/%s' "$(pwd)" "$1" ;;
  esac
}

# render TEMPLATE FILE: @NAME@ becomes the variable NAME; lines between "#@each NAME" and "#@end"
# are repeated for each word of it, so that no word leaves them out.
render() {
  awk '
    function fill(line,   name, value, done, at) {
      done = ""
      while (match(line, /@[A-Z_]+@/)) {
        name = substr(line, RSTART + 1, RLENGTH - 2)
        if (name != each && !(name in ENVIRON)) {
          print FILENAME ": " FNR ": no value for " name > "/dev/stderr"
          exit 1
        }
        value = name == each ? word : ENVIRON[name]
        at = RSTART + RLENGTH
        done = done substr(line, 1, RSTART - 1) value
        line = substr(line, at)
      }
      return done line
    }
    $1 == "#@each" { each = $2; count = 0; next }
    $1 == "#@end" {
      words = split(ENVIRON[each], list, "\n")
      for (w = 1; w <= words; w++) {
        word = list[w]
        for (i = 1; i <= count; i++)
          print fill(body[i])
      }
      each = ""
      next
    }
    each != "" { body[++count] = $0; next }
    { print fill($0) }
  ' "$1" >"$2.new" || {
    rm -f "$2.new"
    fail "$1: cannot render"
  }
  mv -f "$2.new" "$2"
}

newline='
'
DEVICE_PORT=8883 OPERATOR_PORT=8884 BIND='' OPERATOR_BIND=''
AUTOSAVE_INTERVAL=1800 MAX_QUEUED_MESSAGES=1000 MAX_INFLIGHT_MESSAGES=20
PERSISTENCE_DIR='' BROKER_USER='' PID_FILE='' LOG_DEST=stderr LOG_TYPE='' GUARD=yes
INGEST='' OPERATOR='' ACL_FILE='' BROKER_CERT='' BROKER_KEY=''
cert_dir='' out='' conf_d='' operator_bind_given=''

while [ $# -gt 0 ]; do
  case $1 in
  --help | -h)
    usage
    exit 0
    ;;
  --conf-d)
    conf_d=yes
    shift
    continue
    ;;
  --*)
    [ $# -ge 2 ] || usage_error "$1: unknown option, or its value is missing"
    case $2 in
    *"$newline"*) usage_error "$1: a line break in its value" ;;
    esac
    ;;
  *)
    [ -z "$out" ] || usage_error "more than one folder: $1"
    out=$1
    shift
    continue
    ;;
  esac
  case $1 in
  --cert-dir) cert_dir=$2 ;;
  --broker-cert) BROKER_CERT=$2 ;;
  --broker-key) BROKER_KEY=$2 ;;
  --persistence-dir) PERSISTENCE_DIR=$2 ;;
  --device-port) need_number "$1" "$2" 1 65535 && DEVICE_PORT=$2 ;;
  --operator-port) need_number "$1" "$2" 1 65535 && OPERATOR_PORT=$2 ;;
  --bind) BIND=$2 ;;
  --operator-bind) OPERATOR_BIND=$2 operator_bind_given=yes ;;
  --ingest)
    need_number "$1" "$2" 0 9999
    case $2 in
    0?*) usage_error "--ingest $2: no leading zeros" ;;
    esac
    INGEST=$INGEST${INGEST:+$newline}$2
    ;;
  --operator)
    is_name "$2" || usage_error "--operator $2: 1 to 60 of A-Z a-z 0-9 _ - are allowed"
    OPERATOR=$OPERATOR${OPERATOR:+$newline}$2
    ;;
  --client-ids)
    case $2 in
    guarded) GUARD=yes ;;
    any) GUARD='' ;;
    *) usage_error "--client-ids $2: guarded or any" ;;
    esac
    ;;
  --acl) ACL_FILE=$2 ;;
  --max-queued-messages) need_number "$1" "$2" 1 10000000 && MAX_QUEUED_MESSAGES=$2 ;;
  --max-inflight-messages) need_number "$1" "$2" 1 65535 && MAX_INFLIGHT_MESSAGES=$2 ;;
  --autosave-interval) need_number "$1" "$2" 0 10000000 && AUTOSAVE_INTERVAL=$2 ;;
  --user) BROKER_USER=$2 ;;
  --pid-file) PID_FILE=$2 ;;
  --log-dest) LOG_DEST=$2 ;;
  --log-type) LOG_TYPE=$2 ;;
  *) usage_error "unknown option $1" ;;
  esac
  shift 2
done

[ -n "$out" ] || usage_error "a folder to write to is needed"
[ -n "$cert_dir" ] || usage_error "--cert-dir is needed"
[ -n "$PERSISTENCE_DIR$conf_d" ] || usage_error "--persistence-dir is needed"
[ "$DEVICE_PORT" -ne "$OPERATOR_PORT" ] || usage_error "both listeners have port $DEVICE_PORT"

mkdir -p "$out" || fail "$out: cannot make it"
[ -n "$operator_bind_given" ] || OPERATOR_BIND=$BIND
[ -n "$INGEST" ] || INGEST=1
ACL_FILE=$(absolute "${ACL_FILE:-$out/acl}")
cert_dir=$(absolute "$cert_dir")
DEVICE_CA=$cert_dir/device-ca.crt OPERATOR_CA=$cert_dir/operator-ca.crt
BROKER_CERT=$(absolute "${BROKER_CERT:-$cert_dir/broker.crt}")
BROKER_KEY=$(absolute "${BROKER_KEY:-$cert_dir/broker.key}")
if [ -n "$conf_d" ]; then
  PERSISTENCE_DIR='' BROKER_USER='' PID_FILE='' LOG_DEST='' LOG_TYPE=''
else
  PERSISTENCE_DIR=$(absolute "${PERSISTENCE_DIR%/}")
fi

export ACL_FILE AUTOSAVE_INTERVAL BIND BROKER_CERT BROKER_KEY DEVICE_CA DEVICE_PORT GUARD INGEST \
  LOG_DEST LOG_TYPE MAX_INFLIGHT_MESSAGES MAX_QUEUED_MESSAGES OPERATOR OPERATOR_BIND \
  OPERATOR_CA OPERATOR_PORT PERSISTENCE_DIR PID_FILE BROKER_USER
render "$here/acl.in" "$ACL_FILE"
render "$here/mosquitto.conf.in" "$out/mosquitto.conf"
