{
  description = "WiseHosting: a private cloud over your own servers";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      # Our packages over nixpkgs, for each system.
      each =
        f: lib.genAttrs systems (system: f (nixpkgs.legacyPackages.${system}.extend self.overlays.default));
    in
    {
      lib = import ./nix/lib.nix { inherit lib self; };

      overlays.default = import ./nix/overlay.nix;

      nixosModules = import ./nix/modules/exports.nix { inherit lib self; };

      nixosConfigurations = self.lib.mkFleet {
        fleet = import ./hosts/fleet.nix;
        hosts = ./hosts;
      };

      packages = each (pkgs: import ./nix/packages.nix { inherit pkgs self; });
      apps = each (pkgs: import ./nix/apps.nix { inherit pkgs self; });
      checks = each (pkgs: import ./nix/checks { inherit pkgs self; });
      devShells = each (pkgs: {
        default = import ./nix/dev-shell.nix { inherit pkgs; };
      });
      formatter = each (pkgs: pkgs.nixfmt-tree);

      templates = {
        default = self.templates.single;
        single = {
          path = ./nix/template/single;
          description = "One server with all roles";
        };
        fleet = {
          path = ./nix/template/fleet;
          description = "A control plane, a proxy and workers";
        };
      };
    };
}
