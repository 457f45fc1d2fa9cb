# What apps and builds may reach of the world around them. `world` is the rest of it: a public address, the cloud's
# metadata, the LAN of the hosts and a second network with a database, both with their servers.
let
  public = "198.51.100.40";
  metadata = "169.254.169.254";
in
{
  nodes = {
    control.imports = [ ./nodes/control.nix ];

    worker1 =
      { nodes, pkgs, ... }:
      let
        inherit (nodes.world.networking) primaryIPAddress;
      in
      {
        imports = [
          ./nodes/fleet.nix
          (import ./nodes/pinned.nix "worker")
        ];
        virtualisation.vlans = [
          1
          2
        ];
        services.wisehosting.worker.settings.instances.private_networks = [ "192.168.2.0/24" ];

        networking.interfaces.eth1.ipv4.routes =
          map
            (address: {
              inherit address;
              prefixLength = 32;
              via = primaryIPAddress;
            })
            [
              public
              metadata
            ];

        # A service of the host itself, open to everybody else.
        networking.firewall.allowedTCPPorts = [ 9999 ];
        systemd.services.greeting = {
          wantedBy = [ "multi-user.target" ];
          serviceConfig.ExecStart = "${pkgs.socat}/bin/socat TCP-LISTEN:9999,fork,reuseaddr SYSTEM:date";
        };
        environment.systemPackages = [ pkgs.netcat ];
      };

    world =
      { pkgs, ... }:
      {
        virtualisation.vlans = [
          1
          2
        ];
        networking.interfaces.lo.ipv4.addresses =
          map
            (address: {
              inherit address;
              prefixLength = 32;
            })
            [
              public
              metadata
            ];
        networking.firewall.allowedTCPPorts = [ 9999 ];
        networking.firewall.allowedUDPPorts = [ 53 ];
        systemd.services.greeting = {
          wantedBy = [ "multi-user.target" ];
          serviceConfig.ExecStart = "${pkgs.socat}/bin/socat TCP-LISTEN:9999,fork,reuseaddr SYSTEM:date";
        };
        systemd.services.dns = {
          wantedBy = [ "multi-user.target" ];
          serviceConfig.ExecStart = "${pkgs.dnsmasq}/bin/dnsmasq --keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null --user=root --address=/public.test/${public}";
        };
      };

    client.imports = [ ./nodes/client.nix ];
  };
}
