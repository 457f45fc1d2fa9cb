{ pkgs, self }:
let
  inherit (pkgs) lib;

  # A worker of the example fleet that has the architecture of `pkgs`, as your own fleet's hosts can be made into images.
  fleet = import ../hosts/fleet.nix;
  worker = self.lib.mkHost {
    name = "worker";
    fleet = fleet // {
      hosts = fleet.hosts // {
        worker = {
          roles = [ "worker" ];
          inherit (pkgs.stdenv.hostPlatform) system;
        };
      };
    };
    modules = [
      ../hosts/common
      { system.stateVersion = lib.trivial.release; }
    ];
  };
in
{
  default = pkgs.wisehosting;
  inherit (pkgs) wisehosting wisehosting-web;

  image-worker = self.lib.images.disk worker;
  iso-installer = self.lib.images.installer worker;
}
// import ./images/oci.nix { inherit lib pkgs; }
