# The flake's modules: the one module, alone or with a role switched on.
{ lib, self }:
let
  base =
    { pkgs, ... }:
    {
      _class = "nixos";
      key = "wisehosting-with-package";
      imports = [ ./. ];
      # Not by an overlay: `nixpkgs.overlays` is read-only where a test or a user gives the package set.
      services.wisehosting.package =
        lib.mkDefault
          self.packages.${pkgs.stdenv.hostPlatform.system}.wisehosting;
    };
  role = option: {
    _class = "nixos";
    key = "wisehosting-${option}";
    imports = [ base ];
    services.wisehosting.mesh.enable = lib.mkDefault true;
    services.wisehosting.${option}.enable = lib.mkDefault true;
  };
in
{
  default = base;
  mesh = role "mesh";
  control-plane = role "controlPlane";
  worker = role "worker";
  proxy = role "proxy";

  # Profiles: what a host that does nothing else wants to be, its disk by labels, and its disk as an image.
  appliance = ../profiles/appliance.nix;
  disk-gpt = ../profiles/disk-gpt.nix;
  image = ../profiles/image.nix;
}
