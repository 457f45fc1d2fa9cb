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
  inherit (config.networking) firewall;
  mesh = top.mesh.settings.interface;
  ingress = cfg.settings.ingress or null;
  required = cfg.settings.instances.user_namespaces == "require";
  storageDriver = config.virtualisation.containers.storage.settings.storage.driver or "overlay";
  numbers = config.users.users.containers;

  # Ports and ranges that the host's firewall opens to everybody, as an nftables set; null when there are none.
  opened =
    ports: ranges:
    let
      elements = map toString ports ++ map (range: "${toString range.from}-${toString range.to}") ranges;
    in
    if elements == [ ] then null else "{ ${lib.concatStringsSep ", " elements} }";
  openedRule =
    protocol: set:
    lib.optionalString (
      set != null
    ) "meta l4proto ${protocol} ct status dnat ct original proto-dst ${set} accept";
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
    openFirewall = mkOption {
      type = types.bool;
      default = true;
      description = "Whether the port of `settings.ingress`, where direct zones are answered, is reachable from outside.";
    };
    settings = wh.mkSettings {
      options.instances = {
        private_networks = wh.mkSetting {
          type = types.listOf (types.strMatching "[0-9.]+/[0-9]+");
          default = "[ ]";
          description = "Private networks that apps and build steps may reach, such as the one of a database.";
        };
        user_namespaces = wh.mkSetting {
          type = types.enum [
            "auto"
            "off"
            "require"
          ];
          default = "\"auto\"";
          description = ''
            Whether root inside a container is nobody on the host: where the host allows, never, or else nothing starts.
            See `docs/operations/isolation.md`.
          '';
        };
      };
      description = ''
        Settings of the worker, as in `docs/configuration.md`. With a `zone` of its own in the fleet a worker that is no
        control plane listens for it: `ingress` is `0.0.0.0:8080` then, and `null` leaves the zone to something else.
        With `traefik.enable` it is left to that.
      '';
      example = {
        ingress = "0.0.0.0:8080";
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
      {
        assertion = !required || storageDriver == "overlay";
        message = "services.wisehosting.worker.settings.instances.user_namespaces: `require` needs Podman's storage driver overlay, and virtualisation.containers.storage.settings.storage.driver is ${storageDriver}: nothing would start. Set `auto`, or the other driver.";
      }
      {
        assertion = !required || (numbers.subUidRanges != [ ] && numbers.subGidRanges != [ ]);
        message = "services.wisehosting.worker.settings.instances.user_namespaces: `require` needs numbers for containers, and users.users.containers has no subUidRanges or subGidRanges: nothing would start.";
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

    # Numbers for the users of containers, so that root inside is nobody outside. Podman takes them from this user.
    users.users.containers = {
      # A user of that name who logs in may be there already, with defaults of its own.
      isSystemUser = lib.mkOverride 1100 true;
      group = lib.mkOverride 1100 "containers";
      subUidRanges = lib.mkDefault [
        {
          startUid = 2147483648;
          count = 1073741824;
        }
      ];
      subGidRanges = lib.mkDefault [
        {
          startGid = 2147483648;
          count = 1073741824;
        }
      ];
    };
    users.groups.containers = { };

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
        # Limits of the network: tc and ip, in the containers' networks.
        pkgs.iproute2
        pkgs.nftables
        pkgs.openssh
        pkgs.util-linux
      ]
      # Limits of the disk, where each container has a subvolume.
      ++ lib.optional (storageDriver == "btrfs") pkgs.btrfs-progs;
      stopIfChanged = false;
      serviceConfig = wh.kept // {
        ExecStart = "${lib.getExe' cfg.package "wisehosting-worker"} run --config ${cfg.configFile}";
        StateDirectory = "wisehosting/worker";
        StateDirectoryMode = "0700";
        # Builds outlive the agent, so that an upgrade of the host loses none.
        KillMode = "process";
        # Root, and little of a sandbox: `podman build` makes the mounts, namespaces and cgroups of rootful containers
        # as a child of this service. Whoever may talk to Podman's socket is root anyway. What the steps of a build need is
        # open too, for they inherit the sandbox: a host name, a personality, programs of other architectures.
        ProtectClock = true;
        ProtectHome = true;
        ProtectKernelLogs = true;
        RestrictRealtime = true;
        UMask = "0077";
      };
    };

    networking.firewall.interfaces.${mesh}.allowedTCPPorts = [ cfg.settings.mesh.port ];
    # Visitors of the direct zones that point at this worker.
    networking.firewall.allowedTCPPorts = lib.optional (ingress != null && cfg.openFirewall) (
      wh.portOf ingress
    );
    # Names in the containers' networks: Podman answers on each bridge, and NixOS opens only that of the default one.
    networking.firewall.extraInputRules = ''
      iifname "podman*" meta l4proto { tcp, udp } th dport 53 accept
    '';

    # A port published by hand is a port like any other: closed to the outside unless `networking.firewall` opens it.
    # The firewall's own chain does not see it, because Podman sends the packet on to the container before. A host that
    # forwards for its containers also forwards what a neighbour sends to their addresses.
    networking.nftables.tables.wisehosting-containers = {
      family = "inet";
      content = ''
        chain publish {
          type filter hook forward priority filter - 5; policy accept;
          oifname != "podman*" accept
          ct state established,related accept
          iifname "podman*" accept comment "judged by the worker's own table"
          iifname "${mesh}" ct status dnat accept
          ${lib.concatMapStrings (interface: ''
            iifname "${interface}" accept
          '') firewall.trustedInterfaces}
          ${openedRule "tcp" (opened firewall.allowedTCPPorts firewall.allowedTCPPortRanges)}
          ${openedRule "udp" (opened firewall.allowedUDPPorts firewall.allowedUDPPortRanges)}
          drop
        }
      '';
    };
  };
}
