# What every machine of the tests has.
{
  lib,
  nodes,
  pkgs,
  ...
}:
{
  # Like a host: default deny.
  networking.firewall.enable = true;
  networking.nftables.enable = true;

  # The CA, where a test has one.
  networking.extraHosts = lib.optionalString (
    nodes ? internet
  ) "${nodes.internet.networking.primaryIPAddress} acme.test";

  virtualisation.memorySize = lib.mkDefault 1024;
  environment.systemPackages = [
    pkgs.curl
    pkgs.dnsutils
    pkgs.jq
  ];
}
