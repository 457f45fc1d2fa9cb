# What every machine of the tests has.
{
  config,
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

  # The containers' DNS server wants one to forward to: the test's, or nobody.
  networking.resolvconf.enable = lib.mkDefault false;
  environment.etc."resolv.conf".text = lib.mkDefault ''
    nameserver ${(nodes.internet or config).networking.primaryIPAddress}
  '';

  virtualisation.memorySize = lib.mkDefault 1024;
  environment.systemPackages = [
    pkgs.curl
    pkgs.dnsutils
    pkgs.jq
  ];
}
