# Traefik as the engine of the only proxy, and in place of a worker's own ingress.
{
  nodes = {
    internet = {
      imports = [ ./nodes/internet.nix ];
      wisehosting.test.proxies = [ "proxy1" ];
    };
    control.imports = [ ./nodes/control.nix ];
    worker1 = {
      imports = [
        ./nodes/fleet.nix
        (import ./nodes/pinned.nix "worker")
      ];
      services.wisehosting.worker.traefik = {
        enable = true;
        tokenFile = "/secrets/route-token";
      };
    };
    proxy1 = {
      imports = [
        ./nodes/fleet.nix
        (import ./nodes/pinned.nix "proxy")
      ];
      services.wisehosting.proxy.engine = "traefik";
    };
    client.imports = [ ./nodes/client.nix ];
  };
}
