{ pkgs, self }:
let
  inherit (pkgs) lib;
  app = description: program: {
    type = "app";
    program = lib.getExe program;
    meta = { inherit description; };
  };
in
{
  default = app "The command line" pkgs.wisehosting;
  dev = app "A whole cluster on this machine, with an app deployed, until Ctrl-C" (
    import ./dev.nix { inherit pkgs; }
  );
  deploy = app "Builds a host's system and sends it where the fleet says" (
    self.lib.deploy {
      inherit pkgs;
      fleet = import ../hosts/fleet.nix;
    }
  );
  vm = app "The private cloud of the test `mesh` as virtual machines, with a Python prompt" (
    self.checks.${pkgs.stdenv.hostPlatform.system}.vm-mesh.driverInteractive
    // {
      meta.mainProgram = "nixos-test-driver";
    }
  );
}
