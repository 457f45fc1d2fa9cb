# A host as a disk image: for any machine with UEFI, on which it grows to the size of the disk. The join token comes
# from the slot. Built by `lib.images.disk`.
{
  config,
  lib,
  pkgs,
  ...
}:
{
  imports = [ ./disk-gpt.nix ];

  services.wisehosting.mesh.joinSlot.enable = lib.mkDefault true;

  boot.growPartition = lib.mkDefault true;
  fileSystems."/".autoResize = lib.mkDefault true;
  # The firmware that will boot it is another one than where it is built.
  boot.loader.efi.canTouchEfiVariables = false;
  boot.kernelParams = [
    "console=tty0"
    "console=ttyS0"
  ];
  boot.initrd.availableKernelModules = [
    "ahci"
    "nvme"
    "sd_mod"
    "virtio_blk"
    "virtio_pci"
    "virtio_scsi"
    "xhci_pci"
  ];

  # By the function that nixpkgs has had all along; the variants of `system.build.images` came with 25.05.
  system.build.wisehostingDisk = import (pkgs.path + "/nixos/lib/make-disk-image.nix") {
    inherit config lib pkgs;
    name = "wisehosting-${config.networking.hostName}";
    format = "qcow2";
    partitionTableType = "efi";
    bootSize = "512M";
    additionalSpace = "1G";
    copyChannel = false;
  };
}
