# New generations under load: a good one that changes one service, and broken ones that the host leaves by itself.
let
  gated = {
    # A test machine boots from outside.
    boot.loader.grub.enable = false;
    services.wisehosting.healthGate = {
      enable = true;
      timeout = 30;
      settle = 8;
    };
  };
in
{
  nodes = {
    control = {
      imports = [
        gated
        ./nodes/control.nix
      ];
      # A folder that the sandbox does not let it write: valid, and wrong only at run time.
      specialisation.broken.configuration.services.wisehosting.controlPlane.settings.api_server.state_dir =
        "/var/lib/elsewhere";
    };

    worker1 = {
      imports = [
        gated
        ./nodes/fleet.nix
        (import ./nodes/pinned.nix "worker")
      ];
      specialisation = {
        next.configuration = {
          services.wisehosting.worker.settings.builds.slots = 3;
          networking.firewall.allowedTCPPorts = [ 12345 ];
        };
        # The program takes the setting, starts, and exits.
        broken.configuration.services.wisehosting.worker.settings.podman.socket =
          "/run/nowhere/podman.sock";
        # All is well but for the operator's own check.
        unwanted.configuration =
          { pkgs, ... }:
          {
            services.wisehosting.healthGate.checks.shop.command = [
              "${pkgs.coreutils}/bin/ls"
              "/run/the shop is open"
            ];
          };
      };
    };

    proxy1.imports = [
      gated
      ./nodes/fleet.nix
      (import ./nodes/pinned.nix "proxy")
    ];

    client.imports = [ ./nodes/client.nix ];
  };
}
