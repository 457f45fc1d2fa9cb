# A worker loses its network, and then its power; another has the same app.
{
  nodes = {
    internet = {
      imports = [ ./nodes/internet.nix ];
      wisehosting.test.proxies = [ "proxy1" ];
    };
    control.imports = [ ./nodes/control.nix ];
    worker1.imports = [
      ./nodes/fleet.nix
      (import ./nodes/pinned.nix "worker")
    ];
    worker2.imports = [
      ./nodes/fleet.nix
    ];
    proxy1.imports = [
      ./nodes/fleet.nix
      (import ./nodes/pinned.nix "proxy")
    ];
    client.imports = [ ./nodes/client.nix ];
  };
}
