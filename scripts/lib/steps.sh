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

# step NAME REMEDY COMMAND...: standard output and error go to a log of the step.
step() {
  local name=$1 remedy=$2 log started took first status=0
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
    # Compilers name the error long before the end.
    if first=$(head -n -25 "$log" | grep -a -m 1 -A 8 '^error'); then
      printf '\n  the first error in %s:\n' "$log" >&2
      printf '%s\n' "$first" | sed 's/^/    /' >&2
    fi
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
