# Deployments from a repository and from a registry of one's own, on the network of the hosts.
{
  nodes = {
    internet = {
      imports = [ ./nodes/internet.nix ];
      wisehosting.test.proxies = [ "proxy1" ];
    };
    forge =
      { pkgs, ... }:
      {
        services.gitDaemon = {
          enable = true;
          basePath = "/srv/git";
          exportAll = true;
          # Whoever reaches it may push: it is a test's.
          options = "--enable=receive-pack";
        };
        services.dockerRegistry = {
          enable = true;
          listenAddress = "0.0.0.0";
          port = 5000;
        };
        networking.firewall.allowedTCPPorts = [
          5000
          9418
        ];
        systemd.tmpfiles.settings.git."/srv/git".d = {
          user = "git";
          group = "git";
        };
        environment.systemPackages = [ pkgs.git ];
      };
    control.imports = [ ./nodes/control.nix ];
    worker1 = {
      imports = [
        ./nodes/fleet.nix
        (import ./nodes/pinned.nix "worker")
      ];
      # Builds may fetch from here, and the registry has no certificate.
      services.wisehosting.worker.settings.builds.private_networks = [ "192.168.1.0/24" ];
      virtualisation.containers.registries.insecure = [ "forge:5000" ];
    };
    proxy1.imports = [
      ./nodes/fleet.nix
      (import ./nodes/pinned.nix "proxy")
    ];
    client =
      { pkgs, ... }:
      {
        imports = [ ./nodes/client.nix ];
        virtualisation.podman.enable = true;
        environment.systemPackages = [
          pkgs.git
          pkgs.skopeo
        ];
      };
  };
}
