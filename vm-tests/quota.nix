# What one app may use of its host: memory, processes and processor time. The host is a single server, and whoever
# deploys is on it too.
{
  nodes.single =
    { config, lib, ... }:
    let
      inherit (config.networking) primaryIPAddress;
    in
    {
      imports = [ ./nodes/client.nix ];
      services.wisehosting = {
        fleet = {
          url = "http://${primaryIPAddress}:8080";
          zone = "route.wise.test";
          hosts.single = {
            roles = [
              "control-plane"
              "worker"
            ];
            address = primaryIPAddress;
            meshAddress = "10.50.0.1";
          };
        };
        worker.settings.builds.memory_mb = 128;
      };
      # Limits are the runtime's to set: the one that Podman uses by itself.
      virtualisation.containers.containersConf.settings.engine.runtime = lib.mkForce "crun";
      virtualisation.memorySize = 2048;
    };
}
