#!/bin/sh
# Makes the certificates of a bridge: two roots with keys of their own and what they sign.
#
#   device CA     the broker, the devices, the ingests
#   operator CA   the operators
#
# The broker's listener for devices trusts the first alone, the one for operators the second
# alone. A name in a certificate is an identity: it becomes the MQTT user name and a segment of
# the topics, so it is checked here. README.md beside this file has the layout and the rotation.
set -eu
umask 022

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
program=$(basename -- "$0")

ROOT_DAYS=3650
LEAF_DAYS=825
MAX_DAYS=36500

usage() {
  cat <<EOF
usage: $program [options] command DIR ...

  init DIR                       make both roots in DIR
  broker DIR NAME [SAN...]       the broker's certificate; NAME and each SAN is a host name or
                                 an IP address that clients connect to
  device DIR ID                  CN = ID, [A-Za-z0-9_-]{1,64}, no leading "_"
  ingest DIR N                   CN = _ingest-N, N = 0...9999
  operator DIR NAME              CN = _op-NAME, NAME = [A-Za-z0-9_-]{1,60}

options:
  --days N              lifetime in days (default: roots $ROOT_DAYS, others $LEAF_DAYS)
  --force               replace what is there (init: both roots; what they signed is void then)
  --quiet               print only errors
  --help

for tests, to make certificates that must be refused:
  --expired             valid for one day in the year 2020
  --unchecked-name CN   put CN into the certificate instead of the checked name; the file is
                        still named by the checked one

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

say() {
  [ -n "$quiet" ] || echo "$1"
}

# The rule that common/ids, the broker's ACL and the ingest share. The brackets are spelled out:
# in some locales a range like A-Z holds letters with accents.
is_name() {
  case $1 in
  '' | *[!ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-]*) return 1 ;;
  esac
  [ "${#1}" -le "$2" ]
}

check_device_id() {
  is_name "$1" 64 || fail "device id '$1': 1 to 64 of A-Z a-z 0-9 _ - are allowed"
  case $1 in
  _*) fail "device id '$1': a leading _ is kept for ingests and operators" ;;
  esac
}

check_ingest_number() {
  case $1 in
  0) ;;
  '' | 0* | *[!0123456789]* | ?????*) fail "ingest '$1': a number from 0 to 9999 is needed" ;;
  esac
}

check_operator_name() {
  is_name "$1" 60 || fail "operator '$1': 1 to 60 of A-Z a-z 0-9 _ - are allowed"
}

# Prints "IP:..." or "DNS:..." for one name of the broker. A name of digits and dots alone is an
# address: a client compares it with the iPAddress entries only.
san_entry() {
  case $1 in
  '' | *[!ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.:-]*)
    fail "broker name '$1': not a host name or IP address"
    ;;
  *:*) echo "IP:$1" ;;
  *[!0123456789.]*) echo "DNS:$1" ;;
  *) echo "IP:$1" ;;
  esac
}

# The value of -subj: "/" separates and "+" joins parts of a name, "\" quotes them.
subject_of() {
  printf '/CN=%s' "$(printf '%s' "$1" | sed 's,[\\/+],\\&,g')"
}

# Runs openssl; its chatter is shown only when it fails.
run_openssl() {
  openssl "$@" 2>"$SB_TMP/openssl.log" || {
    cat "$SB_TMP/openssl.log" >&2
    fail "openssl $1 failed"
  }
}

make_scratch() {
  SB_TMP=$(mktemp -d "$dir/.new.XXXXXX") || fail "$dir: cannot write"
  export SB_TMP
  trap 'rm -rf "$SB_TMP"' EXIT
  trap 'exit 1' HUP INT TERM
}

# make_root NAME COMMON-NAME: fills $SB_TMP/NAME. The random tail keeps two generations of a root
# apart, so that a broker can trust the old and the new one for a while.
make_root() {
  mkdir -m 700 "$SB_TMP/$1"
  run_openssl req -config "$here/openssl.cnf" -extensions root -x509 \
    -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days "${days:-$ROOT_DAYS}" \
    -subj "/CN=$2 $(openssl rand -hex 4)" \
    -keyout "$SB_TMP/$1/ca.key" -out "$SB_TMP/$1/ca.crt"
  chmod 600 "$SB_TMP/$1/ca.key"
}

do_init() {
  mkdir -p "$dir" || fail "$dir: cannot make it"
  for old in device-ca operator-ca; do
    if [ -e "$dir/$old" ] && [ -z "$force" ]; then
      fail "$dir/$old is there already; --force makes new roots and voids all they signed"
    fi
  done
  make_scratch
  make_root device-ca "bridge device CA"
  make_root operator-ca "bridge operator CA"
  for root in device-ca operator-ca; do
    rm -rf "${dir:?}/$root"
    cp "$SB_TMP/$root/ca.crt" "$SB_TMP/$root.crt"
    mv "$SB_TMP/$root" "$dir/$root"
    mv -f "$SB_TMP/$root.crt" "$dir/$root.crt"
  done
  say "$dir: device-ca.crt and operator-ca.crt are the roots to hand out;"
  say "keep $dir/device-ca/ca.key and $dir/operator-ca/ca.key off the broker and the devices."
  say "next: $program broker $dir HOST [ADDRESS...]"
  say "      $program ingest $dir 1"
  say "      $program device $dir ID"
  say "      $program operator $dir NAME"
}

# The usual way: key and certificate in one call, no serial number file, so several can run at once.
sign_now() {
  run_openssl req -config "$here/openssl.cnf" -extensions "$profile" -x509 -utf8 \
    -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days "${days:-$LEAF_DAYS}" \
    -CA "$dir/$ca/ca.crt" -CAkey "$dir/$ca/ca.key" -subj "$subject" \
    -keyout "$SB_TMP/new.key" -out "$SB_TMP/new.crt"
}

sign_expired() {
  run_openssl req -config "$here/openssl.cnf" -new -utf8 \
    -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$subject" \
    -keyout "$SB_TMP/new.key" -out "$SB_TMP/new.csr"
  : >"$SB_TMP/index.txt"
  run_openssl ca -config "$here/openssl.cnf" -name expired -extensions "$profile" -utf8 \
    -batch -notext -startdate 20200101000000Z -enddate 20200102000000Z \
    -cert "$dir/$ca/ca.crt" -keyfile "$dir/$ca/ca.key" \
    -in "$SB_TMP/new.csr" -out "$SB_TMP/new.crt"
}

# issue CA PROFILE FOLDER NAME COMMON-NAME: leaves FOLDER/NAME.key and .crt.
issue() {
  ca=$1 profile=$2 folder=$dir/$3 name=$4 subject=$(subject_of "${unchecked:-$5}")
  [ -r "$dir/$ca/ca.key" ] || fail "$dir/$ca/ca.key: cannot read; '$program init $dir' makes it"
  if [ -e "$folder/$name.crt" ] && [ -z "$force" ]; then
    fail "$folder/$name.crt is there already; --force replaces it and its key"
  fi
  mkdir -p "$folder"
  make_scratch
  if [ -n "$expired" ]; then sign_expired; else sign_now; fi
  chmod 600 "$SB_TMP/new.key"
  mv -f "$SB_TMP/new.key" "$folder/$name.key"
  mv -f "$SB_TMP/new.crt" "$folder/$name.crt"
  say "$folder/$name.crt and $name.key made (CN ${unchecked:-$5})"
}

do_broker() {
  SB_SAN=
  for host in "$@"; do
    # An assignment of its own: "set -e" sees a failure there.
    entry=$(san_entry "$host")
    SB_SAN=$SB_SAN${SB_SAN:+,}$entry
  done
  issue device-ca broker brokers "$1" "$1"
  say "next: give mosquitto brokers/$1.crt and .key (readable by its user alone),"
  say "      device-ca.crt and operator-ca.crt; cloud_ingest/broker/render.sh --help"
}

do_device() {
  check_device_id "$1"
  issue device-ca client devices "$1" "$1"
  say "next: give the device $dir/device-ca.crt, devices/$1.crt and devices/$1.key"
}

do_ingest() {
  check_ingest_number "$1"
  issue device-ca client ingests "_ingest-$1" "_ingest-$1"
  say "next: give cloud_ingest $dir/device-ca.crt, ingests/_ingest-$1.crt and .key;"
  say "      the broker's ACL needs 'render.sh --ingest $1'"
}

do_operator() {
  check_operator_name "$1"
  issue operator-ca client operators "_op-$1" "_op-$1"
  say "next: give $1 $dir/device-ca.crt (it signs the broker's certificate),"
  say "      operators/_op-$1.crt and .key; the broker's ACL needs 'render.sh --operator $1'"
}

days='' force='' quiet='' expired='' unchecked=''

# Options may stand anywhere; what is left are the command and its arguments.
left=$#
while [ "$left" -gt 0 ]; do
  argument=$1
  shift
  left=$((left - 1))
  case $argument in
  --days | --unchecked-name)
    [ "$left" -gt 0 ] || usage_error "$argument needs a value"
    case $argument in
    --days) days=$1 ;;
    *) unchecked=$1 ;;
    esac
    shift
    left=$((left - 1))
    ;;
  --expired) expired=yes ;;
  --force) force=yes ;;
  --quiet) quiet=yes ;;
  --help | -h)
    usage
    exit 0
    ;;
  --)
    while [ "$left" -gt 0 ]; do
      set -- "$@" "$1"
      shift
      left=$((left - 1))
    done
    ;;
  --*) usage_error "unknown option $argument" ;;
  *) set -- "$@" "$argument" ;;
  esac
done

case $days in
*[!0123456789]* | 0* | ??????*) usage_error "--days $days: a number from 1 to $MAX_DAYS is needed" ;;
esac
[ "${days:-1}" -le "$MAX_DAYS" ] || usage_error "--days $days: at most $MAX_DAYS"

[ $# -ge 2 ] || usage_error "a command and a folder are needed"
command=$1 dir=$2
shift 2
[ -n "$dir" ] || usage_error "the folder is empty"

# openssl.cnf reads both for every command.
SB_SAN=DNS:unused SB_TMP=$dir
export SB_SAN SB_TMP

case $command in
init)
  [ $# -eq 0 ] || usage_error "init takes a folder alone"
  [ -z "$expired$unchecked" ] || usage_error "init takes neither --expired nor --unchecked-name"
  ;;
broker) [ $# -ge 1 ] || usage_error "broker needs a name" ;;
device | ingest | operator) [ $# -eq 1 ] || usage_error "$command takes a folder and one name" ;;
*) usage_error "unknown command $command" ;;
esac
command -v openssl >/dev/null || fail "openssl is not installed"

"do_$command" "$@"
