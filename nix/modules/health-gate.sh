# shellcheck shell=bash
# Judges the generation that this host runs, and takes the host back to the last good one when it fails.
#
#   wisehosting-health-gate judge            what the unit does at boot and at the end of each switch
#   wisehosting-health-gate return BAD GOOD  the way back, in a unit of its own
#   wisehosting-health-gate status           the last verdict, as JSON
#   wisehosting-health-gate wait             until there is a verdict on the running generation; fails unless it is good
#
# health-gate.nix says what comes from outside:
#   timeout, settle  seconds
#   interface        the tunnel's
#   checks           a file with one check in a line: what to look at, the check's name, and its argument
: "${timeout:?}" "${settle:?}" "${interface:?}" "${checks:?}"

report=/run/wisehosting/health-gate.json
profile=/nix/var/nix/profiles/system
# The last good generation. As a root of the garbage collector, so that there is something to go back to.
good=/nix/var/nix/gcroots/wisehosting-good
lock=/run/nixos/switch-to-configuration.lock

running() {
  readlink -f /run/current-system
}

# Waits while a switch is under way; with --nonblock, fails then.
switch_ends() {
  flock "$@" "$lock" true
}

mesh_address() {
  ip -4 -o address show up dev "$interface" 2>/dev/null | awk '/ inet / { sub("/.*", "", $4); print $4; exit }'
}

# The probes say what is wrong, and nothing when all is well.

probe_unit() {
  local key value
  local -A is
  while IFS='=' read -r key value; do
    is[$key]=$value
  done < <(systemctl show --property=ActiveState,SubState,ExecMainStatus "$1")
  [[ ${is[ActiveState]} == active ]] && return
  echo "$1 is ${is[ActiveState]} (${is[SubState]}), its last exit code was ${is[ExecMainStatus]:-none}"
}

probe_interface() {
  [[ -n $(ip -4 -o address show up dev "$1" 2>/dev/null) ]] || echo "$1 is not up, or has no address"
}

probe_url() {
  local url=${1//\{mesh\}/$(mesh_address)} said
  said=$(curl --silent --show-error --fail --noproxy '*' --max-time 5 --output /dev/null "$url" 2>&1) ||
    echo "$url: $said"
}

probe_command() {
  local code=0 said
  said=$(timeout 10 bash -c "$1" 2>&1) || code=$?
  ((code == 0)) || echo "exit code $code: $1: ${said##*$'\n'}"
}

# A line for each check that fails: its name, a tab, what is wrong.
failing() {
  local kind name what said
  while read -r kind name what; do
    said=$("probe_$kind" "$what" </dev/null)
    [[ -z $said ]] || printf '%s\t%s\n' "$name" "$said"
  done <"$checks"
}

# How often systemd started each unit again that had crashed: such a unit is active most of the time.
restarts() {
  local kind name unit
  while read -r kind name unit; do
    [[ $kind != unit ]] || printf '%s\t%s has crashed and was started again; %s times by now\n' \
      "$name" "$unit" "$(systemctl show --property=NRestarts --value "$unit")"
  done <"$checks"
}

# VERDICT REFUSED, the failed checks on standard input.
write_report() {
  jq --raw-input --null-input --arg generation "$generation" --arg verdict "$1" --argjson refused "$2" '{
    $generation, $verdict, $refused, time: (now | todate),
    failed: [inputs | select(. != "") | split("\t") | { check: .[0], reason: .[1] }]
  }' >"$report.new"
  mv "$report.new" "$report"
}

# What this host has come back from, as long as it runs the generation that it came back to.
refused_before() {
  local before='{}'
  [[ ! -s $report ]] || before=$(<"$report")
  jq --compact-output --arg generation "$generation" '
    if .verdict == "refused" and .generation != $generation then { generation, failed, time }
    elif .generation == $generation then .refused
    else null end' <<<"$before"
}

# Sets `failures`; true when the generation passed. Ends the program when another generation takes its place.
passes() {
  local until=$((SECONDS + timeout)) since='' before='' now='' said='' last=''
  while :; do
    said=$(failing)
    now=$(restarts)
    if [[ -n $since && $now != "$before" ]]; then
      said+=$(comm -13 <(sort <<<"$before") <(sort <<<"$now"))
    fi
    if [[ $(running) != "$generation" ]] || ! switch_ends --nonblock; then
      echo "another switch has begun: the generation that it ends with is judged instead"
      exec "$0" judge
    fi
    if [[ -n $said ]]; then
      since='' failures=$said
      [[ $said == "$last" ]] || echo "not yet: ${said//$'\n'/; }"
      ((SECONDS < until)) || return 1
    elif [[ -z $since ]]; then
      since=$SECONDS before=$now
    elif ((SECONDS - since >= settle)); then
      failures=''
      return 0
    fi
    last=$said
    sleep 1
  done
}

judge() {
  local generation refused back failures=''
  # The clock starts when all units of the new generation have been started.
  switch_ends
  generation=$(running)
  refused=$(refused_before)
  echo "judging $generation"
  write_report checking "$refused" <<<''

  if passes; then
    ln -sfn "$generation" "$good.new" && mv -T "$good.new" "$good"
    write_report good "$refused" <<<''
    echo "$generation is good"
    [[ $refused != null ]] || return 0
    jq -r '"this host came back to it from \(.generation), which was refused at \(.time):",
      (.failed[] | "  \(.check): \(.reason)")' <<<"$refused"
    return 1
  fi

  echo "$generation failed:"
  sed 's/^/  /; s/\t/: /' <<<"$failures"
  back=$(readlink -f "$good" || true)
  if [[ $back == "$generation" ]]; then
    echo 'it was good before, so that an older one would not help: the host stays'
  elif [[ ! -x $back/bin/switch-to-configuration ]]; then
    echo 'no generation of this host has passed yet that it could go back to: the host stays'
  else
    write_report refused null <<<"$failures"
    echo "going back to $back; see wisehosting-health-return.service"
    systemd-run --no-block --collect --quiet --unit=wisehosting-health-return \
      --description='Return to the last good generation' "$0" return "$generation" "$back"
    return 1
  fi
  write_report failed "$refused" <<<"$failures"
  return 1
}

# BAD GOOD: lets the host boot the good one, if it would boot the bad one.
boot_instead() {
  local link number='' code=0
  if [[ -e $profile ]]; then
    # A trial (`nixos-rebuild test`) has changed nothing there.
    [[ $(readlink -f "$profile") == "$1" ]] || return 0
    for link in "$profile"-*-link; do
      [[ $(readlink -f "$link") != "$2" ]] || number=${link#"$profile-"}
    done
    if [[ -n $number ]]; then
      nix-env --profile "$profile" --switch-generation "${number%-link}" || code=1
    else
      nix-env --profile "$profile" --set "$2" || code=1
    fi
  fi
  "$2/bin/switch-to-configuration" boot || code=1
  return "$code"
}

go_back() {
  switch_ends
  if [[ $(running) != "$1" ]]; then
    echo "the host runs $(running) by now: nothing to go back from"
    return
  fi
  # The services come back in any case.
  boot_instead "$1" "$2" || echo "the host would still boot $1: set its boot loader and $profile back by hand"
  "$2/bin/switch-to-configuration" 'test'
}

await() {
  local verdict=''
  until [[ -n $verdict ]] && ! systemctl --quiet is-active wisehosting-health-gate.service; do
    sleep 1
    verdict=$(jq -r --arg running "$(running)" '
      select(.generation == $running and .verdict != "refused")
      | if .verdict == "good" and .refused == null then "good" else "bad" end' "$report" 2>/dev/null || true)
  done
  jq . "$report"
  [[ $verdict == good ]]
}

case ${1:-} in
  judge) judge ;;
  return) go_back "$2" "$3" ;;
  status) jq . "$report" ;;
  wait) await ;;
  *)
    echo "usage: wisehosting-health-gate status | wait" >&2
    exit 64
    ;;
esac
