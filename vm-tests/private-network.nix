# Apps find each other by name: on two workers, in two projects.
{
  nodes = {
    control.imports = [ ./nodes/control.nix ];
    worker1.imports = [
      ./nodes/fleet.nix
      (import ./nodes/pinned.nix "worker")
    ];
    worker2.imports = [ ./nodes/fleet.nix ];
    client.imports = [ ./nodes/client.nix ];
  };
}
