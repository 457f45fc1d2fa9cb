# A worker loses its power for longer than the fleet waits: another one takes over what it ran.
{
  nodes = {
    control = {
      imports = [ ./nodes/control.nix ];
      services.wisehosting.controlPlane.settings.node_health = {
        check_intervals_s = [
          5
          10
          10
          10
          10
        ];
        grace_s = 30;
      };
    };
    worker1.imports = [
      ./nodes/fleet.nix
      (import ./nodes/pinned.nix "worker")
    ];
    worker2.imports = [ ./nodes/fleet.nix ];
    proxy1.imports = [
      ./nodes/fleet.nix
      (import ./nodes/pinned.nix "proxy")
    ];
    client.imports = [ ./nodes/client.nix ];
  };
}
