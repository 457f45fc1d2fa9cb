# Images of a fleet's hosts: `images.disk nixosConfigurations.worker-2`.
{ lib }:
{
  # A qcow2 disk that boots as `host`.
  disk =
    host:
    (host.extendModules { modules = [ ../profiles/image.nix ]; }).config.system.build.wisehostingDisk;

  # A bootable ISO with the whole system of `host` in it, and `wisehosting-install` to put that on a disk.
  installer =
    host:
    (lib.nixosSystem { modules = [ (import ./installer.nix { inherit host; }) ]; })
    .config.system.build.isoImage;
}
