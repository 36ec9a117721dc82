#!/usr/bin/env bash
# cppcheck over a build folder's compile_commands.json. An inline suppression says why on the same line.
# usage: check-cppcheck.sh BUILD_DIR        exit status 1 if anything was found, 77 without cppcheck
set -uo pipefail
build=${1:?usage: check-cppcheck.sh BUILD_DIR}
root=$(cd "$(dirname "$0")/.." && pwd)
command -v cppcheck >/dev/null || { echo "cppcheck is not installed"; exit 77; }

# cppcheck reads no system headers; the list macros of sys/queue.h it has to see to read on.
cache=$build/cppcheck
mkdir -p "$cache/include/sys"
queue=$(printf '#include <sys/queue.h>\n' | gcc -E -x c - | sed -n 's/^# [0-9]* "\(.*queue\.h\)".*/\1/p' | head -n 1)
cp "$queue" "$cache/include/sys/queue.h" || exit 1
/usr/bin/python3 "$root/tests/lib/compile_db.py" "$build" "$cache" "$cache/include" >/dev/null || exit 1

# uninitvar, ctuuninitvar: a struct filled through its address counts as not set; the compiler and
#   clang-tidy follow it.
# internalAstError: version 2.10 cannot read `x ? (struct s){0} : y`.
# ctunullpointer: takes a NULL that one caller gives for one that every path sees.
# invalidFunctionArgBool: in C a bool is a number (sqlite3_bind_int).
# gnu.cfg and posix.cfg are left out: they forbid what is allowed (accept4 with NULL, readdir).
cppcheck --project="$cache/compile_commands.json" --cppcheck-build-dir="$cache" -j "$(nproc)" \
  --enable=warning,performance,portability --inline-suppr --error-exitcode=1 --quiet \
  --library=sqlite3 --library=openssl --library=zlib \
  --template='{file}:{line}: {severity}: {message} [{id}]' \
  --suppress=missingIncludeSystem --suppress=uninitvar --suppress=ctuuninitvar \
  --suppress=ctunullpointer --suppress=internalAstError --suppress=invalidFunctionArgBool --suppress='*:/usr/*' --suppress="*:$cache/*"
status=$?

bare=$(cd "$root" && grep -rnE 'cppcheck-suppress +[A-Za-z]+ *(\*/)? *$' common edge_agent cloud_ingest tests --include='*.[ch]')
if [ -n "$bare" ]; then
  printf 'suppressed without a reason:\n%s\n' "$bare"
  status=1
fi
exit $((status != 0))
