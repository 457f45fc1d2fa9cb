# What every machine of the tests has: small, and no waiting for things that a test does not need.
{ lib, pkgs, ... }:
{
  # A test machine is like a host: default deny.
  networking.firewall.enable = true;
  networking.nftables.enable = true;
  # No module of the kernel where the machines are containers.
  services.wisehosting.mesh.settings.backend = lib.mkDefault "auto";
  virtualisation.memorySize = lib.mkDefault 1024;
  environment.systemPackages = [
    pkgs.curl
    pkgs.jq
  ];
}
