# A control plane that is backed up, loses its database, and comes back with the same secret only.
{ lib, pkgs, ... }:
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
}
