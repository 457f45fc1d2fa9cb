# Prometheus on the control plane's host watches the fleet, and says so when a host is gone.
{
  nodes = {
    control = {
      imports = [
        ./nodes/control.nix
        ./nodes/client.nix
      ];
      services.wisehosting = {
        fleet.monitoring = true;
        backup.enable = true;
      };
      # What Grafana would show, asked for without it.
      environment.etc."dashboards".source = ../nix/grafana;
      # Quick, so that the test is short; how long something must be wrong stays what it is.
      services.prometheus.globalConfig = {
        scrape_interval = "2s";
        evaluation_interval = "2s";
      };
    };
    worker1 = {
      imports = [
        ./nodes/fleet.nix
        (import ./nodes/pinned.nix "worker")
      ];
      services.wisehosting.fleet.monitoring = true;
    };
    # A neighbour on the hosts' network.
    outside = { };
  };
}
