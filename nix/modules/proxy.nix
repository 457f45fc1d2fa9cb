# The proxy: terminates TLS and carries requests over the mesh to the apps. Traefik as its engine is in traefik.nix.
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
  cfg = top.proxy;
  builtin = cfg.engine == "builtin";
  inherit (cfg.settings) http https;

  streams =
    let
      written = lib.splitString "," (lib.replaceStrings [ " " ] [ "" ] cfg.streamPorts);
      ends = map (range: map lib.toInt (lib.splitString "-" range)) (lib.remove "" written);
    in
    map (range: {
      from = lib.head range;
      to = lib.last range;
    }) ends;
  lowStreams = builtin && lib.any (range: range.from < 1024) streams;

  # Traefik has its own words for these, and ports of its own.
  traefiks = lib.filter (key: cfg.settings ? ${key}) [
    "https"
    "limits"
    "proxy_protocol"
  ];
in
{
  options.services.wisehosting.proxy = {
    enable = mkEnableOption "the WiseHosting proxy: HTTPS for the apps";
    package = mkOption {
      type = types.package;
      default = top.package;
      defaultText = lib.literalExpression "config.services.wisehosting.package";
      description = "Package with `wisehosting-proxy`.";
    };
    engine = mkOption {
      type = types.enum [
        "builtin"
        "traefik"
      ];
      default = "builtin";
      description = "What carries the requests: the proxy itself, or a Traefik that it feeds.";
    };
    openFirewall = mkOption {
      type = types.bool;
      default = true;
      description = "Whether the HTTP and HTTPS ports, and those of `streamPorts`, are reachable from outside.";
    };
    streamPorts = mkOption {
      type = types.str;
      default = "30000-30999";
      example = "30000-30999, 5432";
      description = ''
        Ports that apps may have for TCP and UDP, as `proxy.stream_ports` of the control plane says; empty for none. Nothing
        listens there until an app publishes one.
      '';
    };
    cacheKeyFile = wh.mkSecret {
      description = ''
        A long random text under which certificates' keys are sealed on this host's disk. Without it they are sealed under
        the host's API key, which is on the same disk. To bind it to the machine's TPM, leave this null and set
        `systemd.services.wisehosting-proxy.serviceConfig.LoadCredentialEncrypted = [ "cache_key" ]`.
      '';
      example = "/run/secrets/wisehosting-cache-key";
    };
    settings = wh.mkSettings {
      description = "Settings of the proxy, as in `docs/configuration.md`.";
      example = {
        http = "203.0.113.12:80";
        proxy_protocol = [ "10.0.0.0/8" ];
        limits.connections_per_client = 256;
      };
    };
    configFile = wh.mkConfigFile "wisehosting-proxy";
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = top.mesh.enable;
        message = "services.wisehosting.proxy needs services.wisehosting.mesh.enable: apps are reached over the mesh.";
      }
      {
        assertion = builtin || traefiks == [ ];
        message = "services.wisehosting.proxy.settings: ${lib.concatStringsSep ", " traefiks} cannot be set with `engine = \"traefik\"`: say it to Traefik, in `services.wisehosting.proxy.traefik.settings.entryPoints`.";
      }
      {
        assertion = !builtin || !cfg.settings ? traefik;
        message = "services.wisehosting.proxy.settings.traefik: set `services.wisehosting.proxy.engine = \"traefik\"`, which also runs it.";
      }
    ];

    services.wisehosting.proxy = {
      settings = {
        node_dir = lib.mkDefault top.mesh.settings.state_dir;
        state_dir = lib.mkDefault "/var/lib/wisehosting/proxy";
        mesh_port = lib.mkDefault 8091;
        drain_s = lib.mkDefault 1;
      }
      // lib.optionalAttrs builtin {
        http = lib.mkDefault "0.0.0.0:80";
        https = lib.mkDefault "0.0.0.0:443";
      };
      configFile = wh.checkedConfig {
        inherit (cfg) package settings;
        program = "wisehosting-proxy";
      };
    };

    users.groups.wisehosting = { };
    users.users.wisehosting-proxy = {
      isSystemUser = true;
      group = "wisehosting";
      description = "WiseHosting proxy";
    };

    # systemd holds the ports: while the proxy restarts, connections wait in the sockets' queues and none is refused.
    # It also spares the proxy the right to open low ports.
    systemd.sockets.wisehosting-proxy = lib.mkIf builtin {
      description = "HTTP and HTTPS for the WiseHosting proxy";
      wantedBy = [ "sockets.target" ];
      socketConfig = {
        ListenStream = [
          http
          https
        ];
        Backlog = 4096;
        NoDelay = true;
      };
    };

    systemd.services.wisehosting-proxy = {
      description = "WiseHosting proxy";
      wantedBy = [ "multi-user.target" ];
      wants = [
        "network-online.target"
        "wisehosting-mesh.service"
      ];
      requires = lib.mkIf builtin [ "wisehosting-proxy.socket" ];
      after = [
        "network-online.target"
        "wisehosting-mesh.service"
      ]
      ++ lib.optional builtin "wisehosting-proxy.socket";
      stopIfChanged = false;
      serviceConfig =
        wh.hardening
        // wh.kept
        // {
          ExecStart = "${lib.getExe' cfg.package "wisehosting-proxy"} run --config ${cfg.configFile}";
          User = "wisehosting-proxy";
          Group = "wisehosting";
          LoadCredential = wh.loadCredentials { cache_key = cfg.cacheKeyFile; };
          StateDirectory = "wisehosting/proxy";
          StateDirectoryMode = "0700";
          # The host's load and memory, which the agent reports.
          ProcSubset = "all";
          # After the drain, requests in flight have 30 seconds to end.
          TimeoutStopSec = cfg.settings.drain_s + 45;
        }
        # systemd holds HTTP's ports, and those of apps are opened as they are published: low ones need the right to, for
        # which the proxy has to be in the host's user namespace.
        // lib.optionalAttrs lowStreams {
          AmbientCapabilities = [ "CAP_NET_BIND_SERVICE" ];
          CapabilityBoundingSet = [ "CAP_NET_BIND_SERVICE" ];
          PrivateUsers = false;
        };
    };

    networking.firewall.allowedTCPPorts = lib.mkIf (builtin && cfg.openFirewall) [
      (wh.portOf http)
      (wh.portOf https)
    ];
    networking.firewall.allowedTCPPortRanges = lib.mkIf (builtin && cfg.openFirewall) streams;
    networking.firewall.allowedUDPPortRanges = lib.mkIf (builtin && cfg.openFirewall) streams;
    networking.firewall.interfaces.${top.mesh.settings.interface}.allowedTCPPorts = [
      cfg.settings.mesh_port
    ];
  };
}
