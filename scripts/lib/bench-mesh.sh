# Our userspace tunnel beside wireguard-go, between two hosts made of namespaces. To be sourced after steps.sh.
# shellcheck shell=bash

bench_rounds=5
bench_seconds=5
bench_hosts=()
bench_folder=

# bench_mesh PROGRAM: prints what each engine carries over one TCP connection, and the ratio.
bench_mesh() {
  local engine round ours=() theirs=() ratios=()
  bench_folder=$(mktemp -d)
  trap bench_mesh_end EXIT
  bench_mesh_hosts
  bench_mesh_tunnel ours 51821 10.9.1 "$1" tunnel --interface wh0
  bench_mesh_tunnel go 51831 10.9.2 wireguard-go -f wh1
  for round in $(seq $bench_rounds); do
    for engine in ours go; do
      echo "round $round of $bench_rounds: $engine" >&2
      bench_mesh_round "$engine" >>"$bench_folder/$engine.mbit"
    done
  done
  mapfile -t ours <"$bench_folder/ours.mbit"
  mapfile -t theirs <"$bench_folder/go.mbit"
  # Rounds of the same number ran one after the other, under the same load of the machine.
  for round in "${!ours[@]}"; do
    ratios+=("$(jq -n "${ours[$round]} / ${theirs[$round]}")")
  done
  jq -nc --argjson ours "$(bench_list "${ours[@]}")" --argjson theirs "$(bench_list "${theirs[@]}")" \
    --argjson ratios "$(bench_list "${ratios[@]}")" '
    def median: sort | .[length / 2 | floor];
    def round2: . * 100 | round / 100;
    ($ratios | median | round2) as $ratio
    | { bench: "mesh", case: "one TCP connection", metric: "throughput to wireguard-go", value: $ratio, unit: "ratio",
        versus: "wireguard-go", target: 1.0, met: ($ratio >= 1.0),
        mbit_s: { ours: ($ours | median | round), "wireguard-go": ($theirs | median | round) } }'
}

bench_list() {
  printf '%s\n' "$@" | jq -s .
}

# Two hosts with a cable between them. Each has a /run of its own: the sockets of both tunnels have fixed places.
bench_mesh_hosts() {
  local pid
  for _ in a b; do
    unshare --net --mount --propagation private --pid --mount-proc --kill-child --fork \
      sh -c 'mount -t tmpfs tmpfs /run && mkdir /run/wireguard && exec sleep infinity' 2>>"$bench_folder/hosts.log" &
    bench_hosts+=($!)
  done
  for pid in "${bench_hosts[@]}"; do
    # The namespaces are there when the mount is.
    until nsenter -t "$(bench_inside "$pid")" -m test -d /run/wireguard 2>/dev/null; do sleep 0.05; done
  done
  # With this script's view of processes: the host does not see the other one's.
  nsenter -t "$(bench_inside "${bench_hosts[0]}")" -n \
    ip link add eth0 type veth peer name eth0 netns "$(bench_inside "${bench_hosts[1]}")"
  local side
  for side in 0 1; do
    bench_in $side ip link set lo up
    bench_in $side ip address add 198.51.100.$((side + 1))/24 dev eth0
    bench_in $side ip link set eth0 up
  done
}

# The process inside the namespaces that `unshare --fork` with this id made.
bench_inside() {
  pgrep -P "$1" 2>/dev/null || echo "$1"
}

# bench_in SIDE COMMAND...: in the first or the second host.
bench_in() {
  local inside
  inside=$(bench_inside "${bench_hosts[$1]}")
  shift
  nsenter -t "$inside" -n -m -p "$@"
}

# bench_mesh_tunnel NAME PORT PREFIX COMMAND...: the same tunnel for both, whoever serves it. The last word is the interface.
bench_mesh_tunnel() {
  local name=$1 port=$2 prefix=$3 side key interface=${!#}
  shift 3
  for side in 0 1; do
    key=$bench_folder/$name.$side
    (umask 077 && wg genkey >"$key")
    bench_in $side "$@" >"$bench_folder/$name.$side.log" 2>&1 &
    until bench_in $side wg show "$interface" >/dev/null 2>&1; do sleep 0.05; done
    bench_in $side wg set "$interface" private-key "$key" listen-port "$port"
  done
  for side in 0 1; do
    bench_in $side wg set "$interface" peer "$(wg pubkey <"$bench_folder/$name.$((1 - side))")" \
      endpoint "198.51.100.$((2 - side)):$port" allowed-ips "$prefix.$((2 - side))/32" persistent-keepalive 25
    bench_in $side ip address add "$prefix.$((side + 1))/24" dev "$interface"
    bench_in $side ip link set "$interface" mtu 1420 up
  done
  echo "$prefix" >"$bench_folder/$name.prefix"
}

# What one connection carries in a round, in megabits a second.
bench_mesh_round() {
  local prefix
  prefix=$(cat "$bench_folder/$1.prefix")
  bench_in 1 iperf3 --server --one-off --bind "$prefix.2" >/dev/null &
  local server=$!
  # The first connection may come before the server listens.
  until bench_in 1 ss --listening --tcp --numeric | grep -q "$prefix.2:5201"; do sleep 0.05; done
  bench_in 0 iperf3 --client "$prefix.2" --time "$bench_seconds" --omit 1 --json |
    jq '.end.sum_received.bits_per_second / 1e6'
  wait "$server"
}

# All that runs in a host ends with its first process.
bench_mesh_end() {
  local pid
  for pid in "${bench_hosts[@]}"; do kill -9 "$(bench_inside "$pid")" 2>/dev/null || true; done
  rm -rf "$bench_folder"
}
