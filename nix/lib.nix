# For a fleet's own flake.
{ lib, self }:
let
  # Where the host's system is sent: as declared, else to its public address, else over the mesh. Null: not known.
  deployTarget =
    {
      deployTo ? null,
      address ? null,
      meshAddress ? null,
      ...
    }:
    let
      known = lib.findFirst (place: place != null) null [
        address
        meshAddress
      ];
    in
    if deployTo != null || known == null then deployTo else "root@${known}";

  mkHost =
    {
      name,
      fleet,
      modules ? [ ],
      specialArgs ? { },
    }:
    lib.nixosSystem {
      inherit specialArgs;
      modules = [
        self.nixosModules.default
        {
          networking.hostName = lib.mkDefault name;
          nixpkgs.hostPlatform = lib.mkDefault (fleet.hosts.${name}.system or "x86_64-linux");
          services.wisehosting.fleet = fleet;
        }
      ]
      ++ modules;
    };
in
{
  inherit mkHost deployTarget;

  images = import ./images { inherit lib; };

  # A system for each host of `fleet`: the shared `modules`, and what is only the host's own from `hosts`/<name>.
  mkFleet =
    {
      fleet,
      hosts,
      modules ? [ ],
      specialArgs ? { },
    }:
    lib.mapAttrs (
      name: _:
      mkHost {
        inherit name fleet specialArgs;
        modules = modules ++ [ (hosts + "/${name}") ];
      }
    ) fleet.hosts;

  # A program `wisehosting-deploy HOST [ACTION]` for the fleet of the flake in the current folder.
  deploy =
    { pkgs, fleet }:
    let
      branch =
        name: entry:
        let
          target = deployTarget entry;
        in
        if target == null then
          "  ${name}) echo 'error: the fleet does not say where ${name} is: set its deployTo' >&2; exit 2 ;;\n"
        else
          "  ${name}) target=${lib.escapeShellArg target} ;;\n";
    in
    pkgs.writeShellApplication {
      name = "wisehosting-deploy";
      runtimeInputs = [
        pkgs.nixos-rebuild
        pkgs.openssh
      ];
      text = ''
        # wisehosting-deploy HOST [switch|boot|test|dry-activate]
        host=''${1:-} action=''${2:-switch}
        case $host in
        ${lib.concatStrings (lib.mapAttrsToList branch fleet.hosts)}
          *)
            echo "error: the fleet has no host '$host'; it has: ${lib.concatStringsSep ", " (lib.attrNames fleet.hosts)}" >&2
            exit 2
            ;;
        esac
        echo "$host → $target" >&2
        nixos-rebuild "$action" --flake ".#$host" --target-host "$target"
        case $action in
          switch | test)
            # Whether the host stays with it is the host's own judgement.
            ssh "$target" 'if command -v wisehosting-health-gate > /dev/null; then wisehosting-health-gate wait; fi'
            ;;
        esac
      '';
    };

  # The reference of our options, as Markdown.
  optionsDoc = import ./options-doc.nix {
    inherit lib;
    inherit
      (lib.nixosSystem {
        modules = [
          self.nixosModules.default
          { nixpkgs.hostPlatform = "x86_64-linux"; }
        ];
      })
      options
      ;
  };

  # Host name → where `nixos-rebuild --target-host` sends it.
  deployTargets = fleet: lib.mapAttrs (_: deployTarget) fleet.hosts;
}
