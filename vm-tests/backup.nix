# A control plane that is backed up, loses its database, and comes back with the same secret only; and one whose Postgres
# runs on another host, behind a password.
{ lib, pkgs, ... }:
let
  password = "p@ss:w/rd";
in
{
  nodes.control = {
    imports = [
      ./nodes/control.nix
      ./nodes/client.nix
    ];
    services.wisehosting.backup = {
      enable = true;
      secretDirectory = "/var/lib/secret-copy";
      keep = {
        atLeast = 2;
        days = 10;
      };
      copyCommand = [
        (lib.getExe' pkgs.coreutils "cp")
        "--target-directory=/var/lib/elsewhere"
      ];
    };
    systemd.services.wisehosting-backup.serviceConfig.ReadWritePaths = [ "/var/lib/elsewhere" ];
    systemd.tmpfiles.rules = [ "d /var/lib/elsewhere 0700 wisehosting wisehosting -" ];
  };

  nodes.database = {
    services.postgresql = {
      enable = true;
      enableTCPIP = true;
      authentication = "host all wisehosting all scram-sha-256";
      initialScript = pkgs.writeText "init.sql" ''
        create role wisehosting login password '${password}';
        create database wisehosting owner wisehosting;
      '';
    };
    networking.firewall.allowedTCPPorts = [ 5432 ];
  };

  nodes.remote =
    { config, nodes, ... }:
    let
      address = machine: machine.networking.primaryIPAddress;
      url = "postgres://wisehosting:${lib.escapeURL password}@${address nodes.database}/wisehosting";
    in
    {
      services.wisehosting = {
        fleet = {
          url = "http://${address config}:8080";
          zone = "route.wise.test";
          hosts.remote = {
            roles = [ "control-plane" ];
            address = address config;
            meshAddress = "10.50.0.1";
          };
        };
        controlPlane.database.urlFile = "/root/database-url";
        backup.enable = true;
      };
      systemd.tmpfiles.rules = [
        "f /root/database-url 0400 root root - ${lib.replaceStrings [ "%" ] [ "%%" ] url}"
      ];
    };
}
