# A host that does nothing but WiseHosting: reached by SSH keys, journals that do not fill the disk.
{ lib, ... }:
{
  services.openssh = {
    enable = lib.mkDefault true;
    settings = {
      PasswordAuthentication = lib.mkDefault false;
      KbdInteractiveAuthentication = lib.mkDefault false;
      PermitRootLogin = lib.mkDefault "prohibit-password";
    };
  };

  services.journald.extraConfig = lib.mkDefault ''
    SystemMaxUse=1G
    MaxRetentionSec=30day
  '';

  # Many connections to many containers.
  boot.kernel.sysctl = {
    "net.core.somaxconn" = lib.mkDefault 4096;
    "net.ipv4.ip_local_port_range" = lib.mkDefault "10240 65535";
    "fs.inotify.max_user_instances" = lib.mkDefault 1024;
  };

  # One that does not work is left again.
  services.wisehosting.healthGate.enable = lib.mkDefault true;

  # A new system is built and tested elsewhere, and sent.
  system.autoUpgrade.enable = lib.mkDefault false;
  nix.gc = {
    automatic = lib.mkDefault true;
    options = lib.mkDefault "--delete-older-than 30d";
  };
}
