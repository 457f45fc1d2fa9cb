{ lib, ... }:
{
  imports = [ ./disk.nix ] ++ lib.optional (builtins.pathExists ./secrets.yaml) ./secrets.nix;

  # Yours; without a key nobody can log in.
  users.users.root.openssh.authorizedKeys.keys = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExampleExam you@example.com"
  ];

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
