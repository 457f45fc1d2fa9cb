# Every other <name>.nix here is a test; its script is <name>.py.
{ pkgs, self }:
let
  inherit (pkgs) lib;
  names = map (lib.removeSuffix ".nix") (
    lib.filter (file: lib.hasSuffix ".nix" file && file != "default.nix") (
      lib.attrNames (builtins.readDir ./.)
    )
  );
  test =
    name:
    pkgs.testers.runNixOSTest {
      inherit name;
      imports = [ (./. + "/${name}.nix") ];
      testScript = builtins.readFile ./lib.py + builtins.readFile (./. + "/${name}.py");
      # The package set comes from outside, as in any flake that gives its own.
      defaults.imports = [
        self.nixosModules.default
        ./nodes/base.nix
      ];
    };
in
lib.genAttrs names test
