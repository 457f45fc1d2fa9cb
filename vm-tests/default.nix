# Every other <name>.nix here is a test, its script is <name>.py, after lib.py. Each is a check `vm-<name>`; one that
# pulls no plug is `container-<name>` too, where the test driver has containers: the same in seconds, without KVM.
{ pkgs, self }:
let
  inherit (pkgs) lib;
  names = map (lib.removeSuffix ".nix") (
    lib.filter (file: lib.hasSuffix ".nix" file && file != "default.nix") (
      lib.attrNames (builtins.readDir ./.)
    )
  );
  script = name: builtins.readFile (./. + "/${name}.py");
  # What a test says: its machines, and what all of them share.
  read =
    name:
    let
      said = import (./. + "/${name}.nix");
      check =
        {
          nodes,
          defaults ? { },
        }:
        {
          inherit nodes defaults;
        };
    in
    check (if lib.isFunction said then said { inherit lib pkgs; } else said);

  test =
    kind: name:
    let
      inherit (read name) nodes defaults;
    in
    pkgs.testers.runNixOSTest {
      inherit name;
      ${kind} = nodes;
      testScript = builtins.readFile ./lib.py + script name;
      globalTimeout = 1800;
      defaults.imports = [
        self.nixosModules.default
        ./nodes/base.nix
        defaults
      ];
    };

  # Containers have no plug and no cable, no other generation of themselves, and no block devices.
  needsMachine =
    name:
    lib.any (word: lib.hasInfix word (script name)) [
      ".crash("
      ".reboot("
      ".shutdown("
      ".block("
      "/specialisation/"
      "losetup"
    ];
  containers = lib.filter (
    name: lib.versionAtLeast lib.trivial.release "26.05" && !needsMachine name
  ) names;
in
lib.listToAttrs (
  map (name: lib.nameValuePair "vm-${name}" (test "nodes" name)) names
  ++ map (name: lib.nameValuePair "container-${name}" (test "containers" name)) containers
)
