{ lib, ... }:
{
  imports = [ ../common ] ++ lib.optional (builtins.pathExists ./secrets.yaml) ./secrets.nix;

  services.wisehosting = {
    controlPlane.settings.acme = {
      directory = "https://acme-v02.api.letsencrypt.org/directory";
      contact = "mailto:you@example.com";
    };
    backup.enable = true;
  };

  # The release of NixOS that the host was installed with; it stays.
  system.stateVersion = "26.05";
}
