# Everything on one host, as on a first VPS: no secret is given, nobody joins, and its own proxy serves the dashboard.
{
  nodes = {
    internet = {
      imports = [ ./nodes/internet.nix ];
      wisehosting.test = {
        zone = "wise.test";
        proxies = [ "server" ];
      };
    };

    server =
      { nodes, pkgs, ... }:
      {
        services.openssh.enable = true;
        services.wisehosting = {
          fleet = {
            url = "https://cp.wise.test";
            zone = "route.wise.test";
            hosts.server = {
              roles = [
                "control-plane"
                "worker"
                "proxy"
              ];
              address = nodes.server.networking.primaryIPAddress;
              meshAddress = "10.50.0.1";
            };
          };
          controlPlane.settings.acme = {
            directory = "https://acme.test:14000/dir";
            root_certificate = "${pkgs.path + "/nixos/tests/common/acme/server/ca.cert.pem"}";
          };
        };
        virtualisation.memorySize = 2048;
      };

    client =
      { nodes, ... }:
      {
        imports = [ ./nodes/client.nix ];
        networking.extraHosts = "${nodes.server.networking.primaryIPAddress} cp.wise.test";
      };
  };
}
