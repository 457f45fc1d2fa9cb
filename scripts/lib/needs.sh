# What each part needs from Debian, and how it is installed without starting a daemon. To be sourced after steps.sh.
# shellcheck shell=bash

packages_of() {
  case $1 in
    build) echo build-essential ;;
    lint) echo shellcheck ;;
    db) echo postgresql ;;
    testbed)
      echo iproute2 iputils-ping util-linux procps podman runc conmon netavark aardvark-dns iptables nftables wireguard-tools \
        postgresql busybox-static libfaketime pebble bind9 bind9-dnsutils git docker-registry openssh-server curl \
        btrfs-progs xfsprogs
      ;;
    mesh) echo iproute2 util-linux procps iperf3 wireguard-go wireguard-tools jq ;;
    kernel) echo qemu-system-x86 seabios kmod busybox-static iproute2 iputils-ping util-linux nftables wireguard-tools ca-certificates ;;
    browser) echo chromium ;;
    ingress) echo wrk strace util-linux nginx-core haproxy caddy python3 python3-pip ;;
    examples) echo debootstrap python3 python3-pip ;;
    nix) echo nix-bin ;;
  esac
}

# needs PART...: installs what is missing. As an ordinary user it says what to install.
needs() {
  # Elsewhere `nix develop` brings them.
  command -v dpkg-query >/dev/null || return 0
  local part package missing=()
  for part in "$@"; do
    for package in $(packages_of "$part"); do
      dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || fail "missing packages: ${missing[*]}" "install them: sudo apt-get install ${missing[*]}"
  step "packages: ${missing[*]}" "install them: apt-get update && apt-get install ${missing[*]}" \
    install_packages "${missing[@]}"
}

# No package may start a daemon: nothing of it is used but its programs.
install_packages() (
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y --no-install-recommends "$@" || { apt-get update && apt-get install -y --no-install-recommends "$@"; }
)

# has PROGRAM HOW: a tool that Debian's packages do not bring.
has() {
  command -v "$1" >/dev/null || fail "$1 is missing" "$2"
}

has_rust() {
  has cargo 'install Rust: https://rustup.rs'
}

has_node() {
  has npm 'install Node.js 20.19 or newer: https://nodejs.org'
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    fail "Node.js $(node -v) is too old" 'install 20.19 or newer: https://nodejs.org'
}
