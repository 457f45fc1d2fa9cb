# The power of a worker and of a proxy fails while control plane and database are off. The worker has joined by token,
# the proxy is declared.
{
  nodes = {
    internet = {
      imports = [ ./nodes/internet.nix ];
      wisehosting.test.proxies = [ "proxy1" ];
    };
    control.imports = [ ./nodes/control.nix ];
    worker2.imports = [ ./nodes/fleet.nix ];
    proxy1.imports = [
      ./nodes/fleet.nix
      (import ./nodes/pinned.nix "proxy")
    ];
    client.imports = [ ./nodes/client.nix ];
  };
}
