#!/usr/bin/env bash
# Rules of the source that need no build: format, banned functions, who may include what, guards,
# headers that compile alone, shell and Python lint, words that mark unfinished work.
# usage: check-source.sh        exit status 1 if anything was found
set -uo pipefail
shopt -s lastpipe # report counts in this shell, not in a pipe's
cd "$(dirname "$0")/.." || exit 1

found=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# report RULE: prints the lines on stdin under the rule's name and remembers that there were some.
report() {
  local lines
  lines=$(cat)
  [ -n "$lines" ] || return 0
  printf '%s:\n  %s\n' "$1" "${lines//$'\n'/$'\n'  }"
  found=$((found + $(wc -l <<<"$lines")))
}

# need TOOL: a tool that is missing is a finding, so that no rule is silently left out.
need() {
  command -v "$1" >/dev/null || { echo "$1 is not installed" | report tools; return 1; }
}

list_files() {
  if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git ls-files -co --exclude-standard
  else
    find . -path ./build -prune -o -type f -print | sed 's,^\./,,'
  fi | while read -r file; do [ ! -f "$file" ] || printf '%s\n' "$file"; done
}

mapfile -t all < <(list_files | grep -Ev '^tests/(data|fuzz/corpus)/' | sort)
mapfile -t c_files < <(printf '%s\n' "${all[@]}" | grep -E '\.[ch]$')
mapfile -t headers < <(printf '%s\n' "${c_files[@]}" | grep -E '\.h$')
mapfile -t product < <(printf '%s\n' "${c_files[@]}" | grep -E '^(common|edge_agent|cloud_ingest)/')
mapfile -t python < <(printf '%s\n' "${all[@]}" | grep -E '\.py$')
mapfile -t code < <(printf '%s\n' "${all[@]}" | grep -Ev '^LICENSE$|\.md$')
mapfile -t text < <(printf '%s\n' "${all[@]}" | grep -Ev '^LICENSE$')

# Copies of the C files without comments, and once more without the insides of strings too; the
# line numbers stay.
strip_c() {
  local file
  for file in "${c_files[@]}"; do
    mkdir -p "$scratch/code/${file%/*}" "$scratch/strings/${file%/*}"
    perl -0777 -pe 's{/\*.*?\*/|//[^\n]*|("(?:\\.|[^"\\\n])*"|\x27(?:\\.|[^\x27\\\n])*\x27)}
      { defined $1 ? $1 : ($& =~ s/[^\n]//gr) }gsex' "$file" >"$scratch/strings/$file"
    perl -0777 -pe 's{"(?:\\.|[^"\\\n])*"}{""}gs; s{\x27(?:\\.|[^\x27\\\n])*\x27}{0}gs' \
      "$scratch/strings/$file" >"$scratch/code/$file"
  done
}

# in_c code|strings PATTERN FILE...: where the pattern stands, by the file's own name
in_c() {
  local kind=$1 pattern=$2
  shift 2
  [ $# -gt 0 ] || return 0
  (cd "$scratch/$kind" && grep -nHP -- "$pattern" "$@")
}

# others PATTERN FILE...: the files whose name does not match
others() {
  local pattern=$1
  shift
  printf '%s\n' "$@" | grep -Ev -- "$pattern"
}

check_format() {
  need clang-format || return
  [ ${#c_files[@]} -eq 0 ] ||
    clang-format --dry-run "${c_files[@]}" 2>&1 | grep -E 'warning|error' | sort -u |
    report 'clang-format (mend: clang-format -i FILE)'
}

check_banned() {
  in_c code '(?<![\w.>])(v?sprintf|str(cpy|cat|tok)|ato(i|l|ll|f)|gets|system|alloca|rand)\s*\(' \
    "${c_files[@]}" | report 'banned function'
}

check_borders() {
  local files
  mapfile -t files < <(others '(_sqlite|_schema)\.[ch]$|^common/db_sqlite\.[ch]$' "${product[@]}")
  in_c code '\bsqlite3' "${files[@]}" | report 'sqlite3 outside *_sqlite.[ch], *_schema.[ch]'
  in_c strings '"\s*(SELECT|INSERT|UPDATE|DELETE FROM|CREATE|DROP TABLE|PRAGMA|BEGIN|COMMIT|ROLLBACK)\b[^"]' \
    "${files[@]}" | report 'SQL outside *_sqlite.[ch], *_schema.[ch]'
  mapfile -t files < <(others '^common/mqtt_link\.c$' "${c_files[@]}")
  in_c strings '\bMQTTAsync' "${files[@]}" | report 'MQTTAsync outside common/mqtt_link.c'
  mapfile -t files < <(others '^common/json[a-z_]*\.[ch]$|_codec\.[ch]$' "${product[@]}")
  in_c strings '\bcJSON' "${files[@]}" | report 'cJSON outside common/json*.[ch], *_codec.[ch]'
}

# The guard is the file's name in capitals with what the file has in front of it.
check_guards() {
  local header stem
  for header in "${headers[@]}"; do
    stem=$(basename "$header" .h | tr 'a-z-' 'A-Z_')
    grep -qE "^#ifndef [A-Z_]*${stem}_H_?\$" "$header" &&
      grep -qE "^#define [A-Z_]*${stem}_H_?\$" "$header" || echo "$header"
  done | report 'include guard missing or named otherwise'
}

check_headers_alone() {
  local header before
  need gcc || return
  for header in "${headers[@]}"; do
    case $header in # cmocka.h wants these before it
      tests/*) before='-include stddef.h -include stdarg.h -include setjmp.h -include stdint.h' ;;
      *) before='' ;;
    esac
    # shellcheck disable=SC2046,SC2086  # flags, one word each
    gcc -fsyntax-only -std=c11 -D_GNU_SOURCE -DSB_VERSION='""' -Wall -Wno-unused-function -x c \
      -I. \
      $(pkg-config --cflags libcjson inih cmocka 2>/dev/null) \
      $before "$header" 2>&1 | grep -E 'error|warning: '
  done | report 'header does not compile alone'
}

# clang-format puts a function's braces into column 1, so what lies between them is its body.
check_if_in_functions() {
  [ ${#c_files[@]} -eq 0 ] || awk '
    FNR == 1 { body = 0 }
    /^\{/ { body = 1 }
    /^\}/ { body = 0 }
    body && /^[ \t]*#[ \t]*(if|ifdef|ifndef|elif|else)/ { print FILENAME ":" FNR ": " $0 }' \
    "${c_files[@]}" | report '#if inside a function'
}

check_words() {
  grep -nHwiE 'T[O]DO|F[I]XME|X[X]X|not i[m]plemented|s[t]ub|p[l]aceholder|f[o]r now' "${code[@]}" |
    cut -c1-160 | report 'word that marks unfinished work'
  grep -nHE '(^|[^A-Za-z0-9_.])/(w[o]rk|f[a]rm)/|/tmp/b[-]|/tmp/b[r]ief|\.\./\.l[i]brary|s[u]bagent' \
    "${text[@]}" | cut -c1-160 | report 'text about somebody'"'"'s own machine'
}

check_blanks() {
  grep -nHP '[ \t]+$' "${text[@]}" | report 'trailing blanks'
  grep -nHP '\t' "${text[@]}" | report 'tab'
  local file
  for file in "${text[@]}"; do
    [ ! -s "$file" ] || [ -z "$(tail -c 1 "$file")" ] || echo "$file"
  done | report 'no newline at the end'
}

check_shell() {
  local scripts
  need shellcheck || return
  mapfile -t scripts < <(grep -lE -m1 '^#!.*\b(ba|da)?sh$|^# shellcheck shell=' "${all[@]}")
  [ ${#scripts[@]} -eq 0 ] ||
    shellcheck -x -P SCRIPTDIR -f gcc "${scripts[@]}" | report shellcheck
}

# A test that nobody registered is never run.
check_registered() {
  local file name kind
  for file in "${all[@]}"; do
    case $file in
      tests/unit/test_*.c) kind=unit name=${file#tests/unit/test_} ;;
      tests/fuzz/fuzz_*.c) kind=fuzz name=${file#tests/fuzz/fuzz_} ;;
      tests/system/test_*.py) kind=system name=${file#tests/system/test_} ;;
      *) continue ;;
    esac
    grep -qE "^sb_${kind}_test\\(${name%.*}( |\\)|\$)" tests/CMakeLists.txt || echo "$file"
  done | report 'not registered in tests/CMakeLists.txt'
}

check_python() {
  need pyflakes3 || return
  [ ${#python[@]} -eq 0 ] || pyflakes3 "${python[@]}" 2>&1 | report pyflakes
}

strip_c
check_format
check_banned
check_borders
check_guards
check_headers_alone
check_if_in_functions
check_words
check_blanks
check_shell
check_python
check_registered

echo "check-source: ${#all[@]} files, $found findings"
[ "$found" -eq 0 ]
