# A host gets another WireGuard key, and the fleet is told.
{ lib, ... }:
let
  keys = import ./nodes/keys.nix;
in
{
  nodes = {
    control = {
      imports = [ ./nodes/control.nix ];
      specialisation.rotated.configuration.services.wisehosting.fleet.hosts.worker1.publicKey =
        lib.mkForce keys.proxy.publicKey;
    };
    worker1 = {
      imports = [
        ./nodes/fleet.nix
        (import ./nodes/pinned.nix "worker")
      ];
      environment.etc."next.key".text = keys.proxy.privateKey;
    };
    client.imports = [ ./nodes/client.nix ];
  };
}
