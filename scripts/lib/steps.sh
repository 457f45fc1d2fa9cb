# One line per step with its time; a failed step shows the end of its log and what to do. To be sourced.
# shellcheck shell=bash

steps_log=.cache/log
steps_live=$([ -t 2 ] && echo yes || echo no)

fail() {
  printf '\nerror: %s\n' "$1" >&2
  shift
  for line in "$@"; do printf '  %s\n' "$line" >&2; done
  exit 1
}

# excerpt TITLE GREP... LOG: what is found before the end of the log, which is shown in any case.
excerpt() {
  local title=$1 log=${*: -1} found
  shift
  # Not a pipe, which fails when grep has read enough.
  found=$(grep -a "${@:1:$#-1}" <(head -n -25 "$log")) || return 0
  printf '\n  %s in %s:\n' "$title" "$log" >&2
  printf '%s\n' "$found" | cut -c -1000 | sed 's/^/    /' >&2
}

# step NAME REMEDY COMMAND...: standard output and error go to a log of the step.
step() {
  local name=$1 remedy=$2 log started took status=0
  shift 2
  mkdir -p "$steps_log"
  log=$steps_log/${name//[^a-z0-9]/-}.log
  [ "$steps_live" = no ] || printf '  …          %s\r' "$name" >&2
  started=$(date +%s%N)
  "$@" >"$log" 2>&1 || status=$?
  took=$(($(date +%s%N) - started))
  printf '  %s %6d.%02d s  %s\n' "$([ $status = 0 ] && echo ✓ || echo ✗)" \
    $((took / 1000000000)) $((took / 10000000 % 100)) "$name" >&2
  [ $status = 0 ] || {
    # Compilers name the error long before the end, tests go on with others.
    excerpt 'the first error' -m 1 -A 8 '^error' "$log"
    excerpt 'what failed' -m 3 -A 3 -e ' panicked at ' -e '^test .* FAILED' "$log"
    printf '\n  the end of %s:\n' "$log" >&2
    tail -n 25 "$log" | sed 's/^/    /' >&2
    fail "$name failed" "$remedy"
  }
}

# show NAME REMEDY COMMAND...: a step whose output is worth reading when all is well, too.
show() {
  step "$@"
  cat "$steps_log/${1//[^a-z0-9]/-}.log" >&2
}

# skip NAME WHY: a step that was not made, so that nobody takes it for passed.
skip() {
  printf '  – skipped     %s: %s\n' "$1" "$2" >&2
}
