# A worker that answers for a zone by itself, and a proxy with everything that may be set on it. The balancer speaks the
# PROXY protocol.
let
  # The worker listens for it without being told to.
  zone.services.wisehosting.fleet.hosts.worker1.zone = "de.wise.test";
in
{
  nodes = {
    internet = {
      imports = [ ./nodes/internet.nix ];
      wisehosting.test.proxies = [ "proxy1" ];
    };
    control.imports = [
      ./nodes/control.nix
      zone
    ];
    worker1.imports = [
      ./nodes/fleet.nix
      (import ./nodes/pinned.nix "worker")
      zone
    ];
    proxy1 =
      { nodes, pkgs, ... }:
      {
        imports = [
          ./nodes/fleet.nix
          (import ./nodes/pinned.nix "proxy")
          zone
        ];
        services.wisehosting.proxy = {
          cacheKeyFile = "/secrets/cache-key";
          settings = {
            drain_s = 5;
            limits.header_bytes = 8192;
            proxy_protocol = [ "${nodes.balancer.networking.primaryIPAddress}/32" ];
          };
        };
        environment.systemPackages = [ pkgs.openssl ];
        systemd.services.test-secrets = {
          description = "Make the secret of the test";
          requiredBy = [ "wisehosting-proxy.service" ];
          before = [ "wisehosting-proxy.service" ];
          path = [ pkgs.openssl ];
          serviceConfig.Type = "oneshot";
          script = ''
            umask 0377
            [ -e /secrets/cache-key ] || { mkdir -p -m 0700 /secrets && openssl rand -hex 32 > /secrets/cache-key; }
          '';
        };
      };
    balancer = { };
    client.imports = [ ./nodes/client.nix ];
  };
}
