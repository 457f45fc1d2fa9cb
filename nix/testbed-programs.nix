# What the test bed starts of other people's programs.
{ pkgs }:
[
  pkgs.bash
  pkgs.bind
  pkgs.conmon
  pkgs.coreutils
  pkgs.dnsutils
  pkgs.git
  pkgs.iproute2
  pkgs.iptables
  pkgs.nftables
  pkgs.openssh
  pkgs.pebble
  pkgs.pkgsStatic.busybox
  pkgs.podman
  pkgs.postgresql
  pkgs.procps
  pkgs.runc
  pkgs.util-linux
  pkgs.wireguard-tools
]
