#!/usr/bin/env bash
# clang-tidy over every source of a build folder's compile_commands.json; the checks stand in .clang-tidy.
# usage: check-tidy.sh BUILD_DIR        exit status 1 if anything was found, 77 without clang-tidy
set -uo pipefail
build=${1:?usage: check-tidy.sh BUILD_DIR}
here=$(dirname "$0")
command -v clang-tidy >/dev/null || { echo "clang-tidy is not installed"; exit 77; }

mapfile -t sources < <(/usr/bin/python3 "$here/lib/compile_db.py" "$build" "$build/tidy")
[ ${#sources[@]} -gt 0 ] || { echo "no sources in $build/compile_commands.json"; exit 1; }

# The analyzer gives a function up after this many states; three times faster than with its own
# limit of 225,000, which SB_LONG leaves in place.
depth=()
[ -n "${SB_LONG:-}" ] || for word in -analyzer-config max-nodes=60000; do
  depth+=(--extra-arg=-Xclang "--extra-arg=$word")
done

# clang's own warnings beside gcc's: format-nonliteral wants an attribute on every va_list function.
# tidy OPTION...: the files on stdin, the largest first, so that the last processor to finish is
# not the one with the largest
tidy() {
  xargs -r -d '\n' -n 1 -P "$(nproc)" clang-tidy -p "$build/tidy" --quiet \
    --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-format-nonliteral "${depth[@]}" "$@" 2>/dev/null
}

status=0
printf '%s\n' "${sources[@]}" | grep -v /tests/ | tidy || status=1
# What the analyzer walks through in the product, the sanitizers see in the tests when they run.
printf '%s\n' "${sources[@]}" | grep /tests/ | tidy '--checks=-clang-analyzer-*' || status=1
echo "clang-tidy: ${#sources[@]} files"
exit $status
