#!/usr/bin/env bash
# Installs each component of a build into a folder of its own and starts what was installed.
# usage: check-install.sh BUILD_DIR
set -euo pipefail
build=${1:?usage: check-install.sh BUILD_DIR}
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

fail() { echo "$*"; find "$stage" -type f; exit 1; }

for pair in edge:edge_agent cloud:cloud_ingest; do
  component=${pair%:*} program=${pair#*:}
  DESTDIR=$stage/$component cmake --install "$build" --component "$component" --prefix /usr >/dev/null
  installed=$stage/$component/usr/sbin/$program
  [ -x "$installed" ] || fail "$program is not in component $component"
  "$installed" --version | grep -q "$program" || fail "$program --version does not name the program"
  [ "$(find "$stage/$component/usr/sbin" -type f | wc -l)" = 1 ] || fail "component $component has more programs"
  [ -s "$stage/$component/usr/share/doc/sb/LICENSE" ] || fail "component $component has no LICENSE"
done
[ -s "$stage/cloud/usr/share/sb/mappings/air_quality.json" ] || fail "the mappings are missing"
