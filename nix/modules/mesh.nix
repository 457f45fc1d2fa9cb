# The mesh agent: makes the host's key, joins it, owns its WireGuard interface.
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
  cfg = top.mesh;
  inherit (cfg.settings) interface port;
in
{
  options.services.wisehosting.mesh = {
    enable = mkEnableOption "the WiseHosting mesh agent, which every host of the private cloud runs";
    package = mkOption {
      type = types.package;
      default = top.package;
      defaultText = lib.literalExpression "config.services.wisehosting.package";
      description = "Package with `wisehosting-mesh`.";
    };
    cidr = mkOption {
      type = types.strMatching "[0-9.]+/[0-9]+";
      default = if top.fleet == null then "10.50.0.0/24" else top.fleet.mesh.cidr;
      defaultText = lib.literalMD "`fleet.mesh.cidr`, or `10.50.0.0/24`";
      description = "Addresses of the mesh. Nothing but the tunnel may use them.";
    };
    openFirewall = mkOption {
      type = types.bool;
      default = true;
      description = "Whether other hosts may dial this host's tunnel (one UDP port). A host behind NAT does not need it.";
    };
    joinTokenFile = wh.mkSecret {
      description = "Token that joins this host, from `wh node token create`. Read only until the host has joined; the file may disappear afterwards.";
      example = "/run/secrets/wisehosting-join-token";
    };
    settings = wh.mkSettings {
      description = "Settings of the mesh agent, as in `docs/configuration.md`. The fleet fills in what it knows.";
      example = {
        backend = "kernel";
        control_plane.url = "https://cp.example.com";
      };
    };
    configFile = wh.mkConfigFile "wisehosting-mesh";
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = !config.networking.nftables.flushRuleset;
        message = "networking.nftables.flushRuleset must be false with services.wisehosting: a reload would delete the rules of every running container. It is true because of `system.stateVersion` before 23.11, `networking.nftables.ruleset` or `rulesetFile`; use `networking.nftables.tables`.";
      }
      {
        assertion = config.networking.nftables.enable;
        message = "networking.nftables.enable must be true: services.wisehosting guards the mesh with nftables.";
      }
    ];

    services.wisehosting.mesh = {
      settings = {
        state_dir = lib.mkDefault "/var/lib/wisehosting/mesh";
        interface = lib.mkDefault "wh0";
        port = lib.mkDefault 51821;
        node = {
          name = lib.mkDefault config.networking.hostName;
          roles = lib.mkDefault (
            lib.optional top.controlPlane.enable "control-plane"
            ++ lib.optional top.worker.enable "worker"
            ++ lib.optional top.proxy.enable "proxy"
          );
        };
      };
      configFile = wh.checkedConfig {
        inherit (cfg) package settings;
        program = "wisehosting-mesh";
      };
    };

    users.groups.wisehosting = { };
    users.users.wisehosting-mesh = {
      isSystemUser = true;
      group = "wisehosting";
      description = "WiseHosting mesh agent";
    };

    boot.kernelModules = lib.mkIf (
      !config.boot.isContainer && cfg.settings.backend or "auto" != "userspace"
    ) [ "wireguard" ];

    systemd.services.wisehosting-mesh = {
      description = "WiseHosting mesh agent";
      documentation = [ "https://www.wireguard.com" ];
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];
      path = [
        pkgs.iproute2
        pkgs.nftables
      ];
      # Stopped and started in one go, late: an upgrade over the mesh keeps its way back.
      stopIfChanged = false;
      serviceConfig =
        wh.hardening
        // wh.kept
        // {
          ExecStart = "${lib.getExe' cfg.package "wisehosting-mesh"} run --config ${cfg.configFile}";
          LoadCredential = wh.loadCredentials { join_token = cfg.joinTokenFile; };
          # An empty line in place of a token that is not there, not yet or no more: without it systemd would not start the
          # agent, and a host whose token is gone would not come back to the mesh from a reboot.
          SetCredential = lib.mkIf (cfg.joinTokenFile != null) "join_token:\\n";
          User = "wisehosting-mesh";
          Group = "wisehosting";
          # Worker, proxy and control plane of this host read identity and public key as members of the group; the
          # agent itself gives the private key mode 0600.
          StateDirectory = "wisehosting/mesh";
          StateDirectoryMode = "0750";
          UMask = "0027";
          # The userspace tunnel outlives the agent, and so must its socket, where WireGuard's tools look for it.
          KillMode = "process";
          RuntimeDirectory = "wireguard";
          RuntimeDirectoryMode = "0750";
          RuntimeDirectoryPreserve = true;
          # Interfaces, addresses and routes: for which it also has to be in the host's user namespace.
          AmbientCapabilities = [ "CAP_NET_ADMIN" ];
          CapabilityBoundingSet = [ "CAP_NET_ADMIN" ];
          PrivateUsers = false;
          RestrictAddressFamilies = wh.hardening.RestrictAddressFamilies ++ [ "AF_NETLINK" ];
          # The userspace tunnel's device.
          PrivateDevices = false;
          DeviceAllow = [ "/dev/net/tun rw" ];
          # A relay lets its tunnel's interface forward: `net.ipv4.conf.${interface}.forwarding`, which CAP_NET_ADMIN covers.
          # The interface is not there yet, and all other settings of the kernel stay closed.
          ReadWritePaths = [ "/proc/sys/net/ipv4/conf" ];
          # The host's load and memory, which the agent reports.
          ProcSubset = "all";
        };
    };

    environment.systemPackages = [
      pkgs.wireguard-tools
      # `wisehosting-mesh join` and `leave`, which are called by hand.
      cfg.package
    ];
    # Where they look for it.
    environment.etc."wisehosting/mesh.json".source = cfg.configFile;

    # Others keep off the interface.
    networking.networkmanager.unmanaged = [ "interface-name:${interface}" ];
    networking.dhcpcd.denyInterfaces = [ interface ];
    systemd.network.wait-online.ignoredInterfaces = [ interface ];

    networking.firewall.allowedUDPPorts = lib.mkIf cfg.openFirewall [ port ];
    # Probes of the tunnels, by which nodes know how they reach each other.
    networking.firewall.interfaces.${interface}.allowedUDPPorts = [ 51822 ];
    networking.nftables.enable = lib.mkDefault true;

    # Linux answers for every address of a host on any of its interfaces, and Podman's DNAT comes before the firewall's
    # input chain: without this a neighbour on the host's network reaches the mesh by a route to its addresses.
    networking.nftables.tables.wisehosting-mesh = {
      family = "inet";
      content = ''
        chain guard {
          type filter hook prerouting priority mangle; policy accept;
          ct state established,related accept
          iifname { "lo", "${interface}" } accept
          iifname "podman*" accept comment "judged by the worker's own table"
          ip daddr ${cfg.cidr} drop
          ip saddr ${cfg.cidr} drop
        }
      '';
    };
  };
}
