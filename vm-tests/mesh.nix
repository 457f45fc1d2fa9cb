# The whole private cloud: a control plane, two workers, two proxies, a CA and DNS. One worker and one proxy are
# declared by their keys, the others join by token.
{
  nodes = {
    internet = {
      imports = [ ./nodes/internet.nix ];
      wisehosting.test.proxies = [
        "proxy1"
        "proxy2"
      ];
    };
    control.imports = [ ./nodes/control.nix ];
    worker1.imports = [
      ./nodes/fleet.nix
      (import ./nodes/pinned.nix "worker")
    ];
    worker2.imports = [ ./nodes/fleet.nix ];
    proxy1.imports = [
      ./nodes/fleet.nix
      (import ./nodes/pinned.nix "proxy")
    ];
    proxy2.imports = [ ./nodes/fleet.nix ];
    client.imports = [ ./nodes/client.nix ];
  };
}
