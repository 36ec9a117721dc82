# shellcheck shell=bash
# shellcheck disable=SC2154  # work, started, edge_agent and cloud_ingest are of demo.sh
# Sourced by demo.sh: settings of one user on two devices. Uses its $work, $cloud_ingest, $edge_agent and
# functions.

on() { # on DEVICE VERB...: the device's command line
  local device=$1
  shift
  "$edge_agent" --config "$work/$device.conf" "$@"
}

two_way_devices() {
  local device
  "$edge_agent" key generate --out "$work/kim.key" >/dev/null
  for device in laptop phone; do
    certs/make-certs.sh device "$work/pki" "$device" --quiet
    mkdir "$work/$device"
    {
      identity "$work/pki/devices/$device"
      printf 'flap_wait = 1s\n[agent]\nstate_dir = %s\n' "$work/$device"
      printf '[pacer]\nretry_min = 1s\nhello_refused_min = 1s\n'
      printf '[encryption]\nusers = kim\nkey_file = %s\n' "$work/kim.key"
    } >"$work/$device.conf"
    cloud device grant "$device" ada >/dev/null
    cloud device grant "$device" kim >/dev/null
    on "$device" user add ada >/dev/null
    on "$device" user add kim >/dev/null
    come_online "$device"
  done
}

declare -A online=()
come_online() {
  start "$1" "$edge_agent" --config "$work/$1.conf" run
  online[$1]=$started
  wait_for 10 "the $1" connected "$1"
}
connected() { on "$1" status --json | grep -q '"is_online":true'; }
go_offline() { stop "${online[$1]}"; }

settings_of() { on "$1" settings get --user "$2" 2>/dev/null; }
both_have() { # USER PATTERN
  settings_of laptop "$1" | grep -q "$2" && [ "$(settings_of laptop "$1")" = "$(settings_of phone "$1")" ]
}
one_line() { tr -s ' \n' '  '; }
show_settings() {
  local device
  for device in laptop phone; do say "   $device: $(settings_of "$device" "$1" | one_line)"; done
}
open_conflict() { # DEVICE: the id of its first open conflict
  on "$1" conflicts list --json | sed -n 's/.*"conflicts":\[{"id":\([0-9]*\).*/\1/p'
}
has_conflict() { [ -n "$(open_conflict "$1")" ]; }

merge_edits() {
  say 'one user, two devices: settings put on the laptop arrive on the phone'
  on laptop settings put --user ada --wait 10s '{"theme":"dark","volume":5,"language":"en"}' >/dev/null
  wait_for 20 'the phone to have them' both_have ada dark
  say 'both go offline; the laptop changes the theme, the phone the volume'
  go_offline laptop && go_offline phone
  on laptop settings put --user ada '{"theme":"light","volume":5,"language":"en"}' >/dev/null
  on phone settings put --user ada '{"theme":"dark","volume":9,"language":"en"}' >/dev/null
  come_online laptop && come_online phone
  wait_for 30 'the merge' both_have ada 'light.*9'
  show_settings ada
}

resolve_a_conflict() {
  local id
  say 'offline again, and both change the language: nobody can merge that'
  go_offline laptop && go_offline phone
  on laptop settings put --user ada '{"theme":"light","volume":9,"language":"de"}' >/dev/null
  on phone settings put --user ada '{"theme":"light","volume":9,"language":"fr"}' >/dev/null
  come_online laptop
  wait_for 20 'the laptop' nothing_left laptop
  come_online phone
  wait_for 30 'the conflict' has_conflict phone
  id=$(open_conflict phone)
  on phone conflicts show "$id"
  say "   phone: edge_agent conflicts resolve $id --keep-local"
  on phone conflicts resolve "$id" --keep-local >/dev/null
  wait_for 30 'the decision to arrive' both_have ada '"fr"'
  show_settings ada
}
nothing_left() { on "$1" status --json | grep -q '"pending_count":0,'; }

show_an_encrypted_user() {
  local secret='meet me at noon' found
  say 'an encrypted user: the key is on the two devices alone'
  on laptop settings put --user kim --wait 10s "{\"diary\":\"$secret\"}" >/dev/null
  wait_for 20 'the phone to read it' both_have kim "$secret"
  show_settings kim
  say "   cloud: $(cloud settings --user kim --json | grep -o 'gAAAA[A-Za-z0-9_=-]*' | cut -c 1-60)..."
  found=$(cat "$work"/cloud/ingest.db* | grep -c -a "$secret" || true)
  say "   the cloud's database holds that text $found times"
  [ "$found" = 0 ] || die 'the cloud can read what it must not'
}

show_two_way() {
  two_way_devices
  merge_edits
  resolve_a_conflict
  show_an_encrypted_user
}
