# An installer for one host of the fleet: it needs no network, and asks which disk to overwrite.
{ host }:
{
  lib,
  modulesPath,
  pkgs,
  ...
}:
let
  target = host.extendModules {
    modules = [
      ../profiles/disk-gpt.nix
      { services.wisehosting.mesh.joinSlot.enable = lib.mkDefault true; }
    ];
  };
  inherit (target.config.system.build) toplevel;
  inherit (target.config.networking) hostName;

  install = pkgs.writeShellApplication {
    name = "wisehosting-install";
    runtimeInputs = [
      pkgs.dosfstools
      pkgs.e2fsprogs
      pkgs.findutils
      pkgs.gawk
      pkgs.nixos-install-tools
      pkgs.systemd
      pkgs.util-linux
    ];
    text = ''
      host=${lib.escapeShellArg hostName}
      system=${toplevel}
    ''
    + builtins.readFile ./install.sh;
  };
in
{
  # Not the whole installation CD, which brings compilers, file systems and manuals that nobody needs here.
  imports = [
    (modulesPath + "/installer/cd-dvd/iso-image.nix")
    (modulesPath + "/profiles/all-hardware.nix")
  ];

  nixpkgs.hostPlatform = target.config.nixpkgs.hostPlatform;
  isoImage = {
    makeEfiBootable = true;
    makeUsbBootable = true;
    storeContents = [ toplevel ];
  };
  environment.systemPackages = [ install ];
  # It keeps no state.
  system.stateVersion = lib.trivial.release;

  # Whoever sits at the machine may overwrite its disk anyway; from afar, those who may log in to the host.
  services.getty.autologinUser = "root";
  services.openssh.enable = true;
  users.users.root.openssh.authorizedKeys = {
    inherit (target.config.users.users.root.openssh.authorizedKeys) keys keyFiles;
  };
  services.getty.helpLine = ''
    This is the installer of the WiseHosting host `${hostName}`. It overwrites a disk:

        lsblk
        wisehosting-install /dev/…
  '';
}
