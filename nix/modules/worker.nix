# The worker: builds images and runs the apps' containers with Podman.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkEnableOption mkOption types;
  wh = import ./lib.nix { inherit lib pkgs; };
  top = config.services.wisehosting;
  cfg = top.worker;
in
{
  options.services.wisehosting.worker = {
    enable = mkEnableOption "the WiseHosting worker: builds images and runs apps with Podman";
    package = mkOption {
      type = types.package;
      default = top.package;
      defaultText = lib.literalExpression "config.services.wisehosting.package";
      description = "Package with `wisehosting-worker`.";
    };
    settings = wh.mkSettings {
      description = "Settings of the worker, as in `docs/configuration.md`.";
      example = {
        builds.slots = 4;
        instances.private_networks = [ "192.168.20.0/24" ];
      };
    };
    configFile = wh.mkConfigFile "wisehosting-worker";
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = top.mesh.enable;
        message = "services.wisehosting.worker needs services.wisehosting.mesh.enable: apps are published on the mesh.";
      }
    ];

    services.wisehosting.worker = {
      settings = {
        node_dir = lib.mkDefault top.mesh.settings.state_dir;
        state_dir = lib.mkDefault "/var/lib/wisehosting/worker";
        mesh = {
          port = lib.mkDefault 8090;
          interface = lib.mkDefault top.mesh.settings.interface;
          cidr = lib.mkDefault top.mesh.cidr;
        };
      };
      configFile = wh.checkedConfig {
        inherit (cfg) package settings;
        program = "wisehosting-worker";
      };
    };

    virtualisation.podman = {
      enable = true;
      defaultNetwork.settings.dns_enabled = lib.mkDefault true;
    };
    # One firewall on the host: with iptables' rules beside nftables' nobody could say which packet passes.
    virtualisation.containers.containersConf.settings.network.firewall_driver =
      lib.mkDefault "nftables";

    systemd.services.wisehosting-worker = {
      description = "WiseHosting worker";
      wantedBy = [ "multi-user.target" ];
      wants = [
        "network-online.target"
        "wisehosting-mesh.service"
      ];
      requires = [ "podman.socket" ];
      after = [
        "network-online.target"
        "podman.socket"
        "wisehosting-mesh.service"
      ];
      path = [
        config.virtualisation.podman.package
        pkgs.git
        pkgs.nftables
        pkgs.openssh
      ];
      stopIfChanged = false;
      serviceConfig = wh.kept // {
        ExecStart = "${lib.getExe' cfg.package "wisehosting-worker"} run --config ${cfg.configFile}";
        StateDirectory = "wisehosting/worker";
        StateDirectoryMode = "0700";
        # Builds outlive the agent, so that an upgrade of the host loses none.
        KillMode = "process";
        # Root, and little of a sandbox: `podman build` makes the mounts, namespaces and cgroups of rootful containers
        # as a child of this service. Whoever may talk to Podman's socket is root anyway.
        LockPersonality = true;
        ProtectClock = true;
        ProtectHome = true;
        ProtectHostname = true;
        ProtectKernelLogs = true;
        RestrictRealtime = true;
        SystemCallArchitectures = "native";
        UMask = "0077";
      };
    };

    networking.firewall.interfaces.${top.mesh.settings.interface} = {
      allowedTCPPorts = [ cfg.settings.mesh.port ];
    };
  };
}
