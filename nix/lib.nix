# For a fleet's own flake.
{ lib, self }:
let
  # Where the host's system is sent: as declared, else to its public address, else over the mesh.
  deployTarget =
    entry:
    if entry.deployTo or null != null then
      entry.deployTo
    else
      "root@${if entry.address or null != null then entry.address else entry.meshAddress}";

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

  # Host name → where `nixos-rebuild --target-host` sends it.
  deployTargets = fleet: lib.mapAttrs (_: deployTarget) fleet.hosts;
}
