# A private cloud, and an attacker on the hosts' own network.
{
  defaults =
    { config, pkgs, ... }:
    {
      networking.interfaces.eth1.ipv6.addresses = [
        {
          address = "fd51::${toString config.virtualisation.test.nodeNumber}";
          prefixLength = 64;
        }
      ];
      # Off, as on hosts with more than one uplink: the rules of WiseHosting have to do without.
      networking.firewall.checkReversePath = false;
      environment.systemPackages = [
        pkgs.netcat
        pkgs.nftables
        pkgs.socat
      ];
    };

  nodes = {
    control.imports = [ ./nodes/control.nix ];
    worker1 = {
      imports = [
        ./nodes/fleet.nix
        (import ./nodes/pinned.nix "worker")
      ];
      # What the operator opens.
      networking.firewall.allowedTCPPorts = [ 20051 ];
      networking.firewall.allowedUDPPorts = [ 7777 ];
    };
    proxy1.imports = [
      ./nodes/fleet.nix
      (import ./nodes/pinned.nix "proxy")
    ];
    client.imports = [ ./nodes/client.nix ];
    attacker = { };
  };
}
