# A control plane whose database somebody else runs, on a host outside of the fleet.
{
  nodes.control =
    { nodes, ... }:
    {
      imports = [ ./nodes/control.nix ];
      services.wisehosting.controlPlane.database.urlFile = "/var/lib/secrets/database-url";
      systemd.tmpfiles.rules = [
        "d /var/lib/secrets 0700 root root"
        "f /var/lib/secrets/database-url 0400 root root - postgres://app:s%%40cret@${nodes.database.networking.primaryIPAddress}/app?sslmode=disable"
      ];
    };

  nodes.database =
    { nodes, pkgs, ... }:
    {
      networking.firewall.allowedTCPPorts = [ 5432 ];
      services.postgresql = {
        enable = true;
        enableTCPIP = true;
        authentication = "host app app ${nodes.control.networking.primaryIPAddress}/32 scram-sha-256";
        initialScript = pkgs.writeText "app.sql" ''
          create role app login password 's@cret';
          create database app owner app;
        '';
      };
    };
}
