# Hosts made from one image: each finds its join token in its own slot.
let
  image = {
    imports = [ ./nodes/fleet.nix ];
    services.wisehosting.mesh.joinSlot.enable = true;
  };
in
{
  nodes = {
    control.imports = [ ./nodes/control.nix ];
    worker2 = image;
    proxy2 =
      { pkgs, ... }:
      {
        imports = [ image ];
        boot.kernelModules = [ "loop" ];
        environment.systemPackages = [ pkgs.e2fsprogs ];
      };
    client.imports = [ ./nodes/client.nix ];
  };
}
