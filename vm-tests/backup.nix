# A control plane that is backed up, loses its database, and comes back with the same secret only.
{ lib, pkgs, ... }:
{
  nodes.cp = {
    networking.hostName = "cp";
    services.wisehosting = {
      fleet = {
        url = "http://192.168.1.1:8080";
        zone = "route.wise.test";
        hosts.cp = {
          roles = [ "control-plane" ];
          address = "192.168.1.1";
          meshAddress = "10.50.0.1";
        };
      };
      backup = {
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
    };
    systemd.services.wisehosting-backup.serviceConfig.ReadWritePaths = [ "/var/lib/elsewhere" ];
    systemd.tmpfiles.rules = [ "d /var/lib/elsewhere 0700 wisehosting wisehosting -" ];
  };
}
