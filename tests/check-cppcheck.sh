#!/usr/bin/env bash
# cppcheck over a build folder's compile_commands.json. An inline suppression says why on the same line.
# usage: check-cppcheck.sh BUILD_DIR        exit status 1 if anything was found, 77 without cppcheck
set -uo pipefail
build=${1:?usage: check-cppcheck.sh BUILD_DIR}
root=$(cd "$(dirname "$0")/.." && pwd)
command -v cppcheck >/dev/null || { echo "cppcheck is not installed"; exit 77; }

cache=$build/cppcheck
mkdir -p "$cache"
/usr/bin/python3 "$root/tests/lib/compile_db.py" "$build" "$cache" >/dev/null || exit 1
# System headers are not read; what they would tell is known to cppcheck already.
cppcheck --project="$cache/compile_commands.json" --cppcheck-build-dir="$cache" -j "$(nproc)" \
  --enable=warning,performance,portability --inline-suppr --error-exitcode=1 --quiet \
  --template='{file}:{line}: {severity}: {message} [{id}]' \
  --suppress=missingIncludeSystem --suppress='*:/usr/*'
status=$?

bare=$(cd "$root" && grep -rnE 'cppcheck-suppress +[A-Za-z]+ *(\*/)? *$' common edge_agent cloud_ingest tests --include='*.[ch]')
if [ -n "$bare" ]; then
  printf 'suppressed without a reason:\n%s\n' "$bare"
  status=1
fi
exit $((status != 0))
