# All of WiseHosting, switched off. The flake exports it with its own package as the default.
{ lib, ... }:
{
  _class = "nixos";
  key = "wisehosting";

  imports = [
    ./backup.nix
    ./control-plane.nix
    ./database.nix
    ./fleet.nix
    ./health-gate.nix
    ./join-slot.nix
    ./mesh.nix
    ./monitoring.nix
    ./ports.nix
    ./proxy.nix
    ./traefik.nix
    ./worker-traefik.nix
    ./worker.nix
  ];

  options.services.wisehosting.package = lib.mkOption {
    type = lib.types.package;
    defaultText = lib.literalMD "`packages.<system>.wisehosting` of the flake";
    description = "Package with all programs of WiseHosting.";
  };
}
