# Traefik as the proxy's engine: the agent writes the routes, Traefik serves them. A unit of our own, because the options
# of nixpkgs' services.traefik change with its releases and its sandbox is wider than this one.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  wh = import ./lib.nix { inherit lib pkgs; };
  top = config.services.wisehosting;
  cfg = top.proxy.traefik;
  inherit (cfg.settings) entryPoints;
  folder = "/var/lib/wisehosting/traefik";
  file = "${folder}/dynamic.yaml";
  accessLog = "${folder}/access.log";
  meshAddress = if top.self == null then null else top.self.meshAddress;
  api = wh.listenOf entryPoints.traefik.address;

  # systemd listens for all but the API, whose callers should notice when Traefik is down.
  sockets = wh.entryPointSockets "wisehosting-traefik" (removeAttrs entryPoints [ "traefik" ]);
  socketUnits = map (socket: "${socket}.socket") (lib.attrNames sockets);
in
{
  options.services.wisehosting.proxy.traefik = {
    package = lib.mkPackageOption pkgs "traefik" { };
    settings = wh.mkSettings {
      description = ''
        Traefik's static configuration, over what the engine needs. Nothing in it is secret: it is in the Nix store.
        The agent names the entry points `web` and `websecure`, and asks the API on the entry point `traefik`.
      '';
      example.entryPoints.websecure.transport.respondingTimeouts.readTimeout = "10m";
    };
    configFile = mkOption {
      type = types.path;
      readOnly = true;
      defaultText = lib.literalMD "generated from `settings`";
      description = "Traefik's static configuration file.";
    };
  };

  config = lib.mkIf (top.proxy.enable && top.proxy.engine == "traefik") {
    services.wisehosting.proxy = {
      settings.traefik = {
        dynamic_file = lib.mkDefault file;
        api = lib.mkDefault "http://${api.host}:${toString api.port}";
        access_log = lib.mkDefault accessLog;
      };
      traefik = {
        settings = lib.mapAttrsRecursive (_: lib.mkDefault) (
          {
            entryPoints = {
              web.address = ":80";
              websecure.address = ":443";
              traefik.address = "127.0.0.1:8079";
            }
            // lib.optionalAttrs (meshAddress != null) { metrics.address = "${meshAddress}:8092"; };
            # Read-only, on loopback, and without keys: by it the agent sees which routes are being served.
            api = {
              insecure = true;
              dashboard = false;
            };
            global = {
              checkNewVersion = false;
              sendAnonymousUsage = false;
            };
            log = {
              level = "INFO";
              format = "json";
            };
            # The agent counts the apps' requests by it, and empties it once it is long.
            accessLog = {
              filePath = accessLog;
              format = "json";
              fields.headers.names = {
                User-Agent = "keep";
                Referer = "keep";
              };
            };
            providers = {
              # Two seconds unless told otherwise, which every deployment and certificate would wait for.
              providersThrottleDuration = "100ms";
              file.filename = file;
            };
          }
          // lib.optionalAttrs (meshAddress != null) {
            metrics.prometheus = {
              entryPoint = "metrics";
              addServicesLabels = true;
            };
          }
        );
        # JSON is YAML.
        configFile = pkgs.writeText "traefik.yaml" (builtins.toJSON cfg.settings);
      };
    };

    users.groups.wisehosting-traefik = { };
    users.users.wisehosting-traefik = {
      isSystemUser = true;
      group = "wisehosting-traefik";
      description = "Traefik of the WiseHosting proxy";
    };

    # The agent owns the folder, and what it writes there belongs to Traefik's group: certificates' keys are in it. The
    # file is there from the start, because Traefik watches no file that is missing when it starts.
    systemd.tmpfiles.rules = [
      "d ${folder} 2750 wisehosting-proxy wisehosting-traefik -"
      "f ${file} 0640 wisehosting-proxy wisehosting-traefik - {}"
      "f ${accessLog} 0660 wisehosting-proxy wisehosting-traefik -"
    ];
    systemd.services.wisehosting-proxy.serviceConfig.ReadWritePaths = [ folder ];

    # In its first half second Traefik has no routes, which the built-in engine never is without.
    systemd.sockets = sockets;

    systemd.services.wisehosting-traefik = {
      description = "Traefik, which serves what the WiseHosting proxy tells it";
      documentation = [ "https://doc.traefik.io/traefik/" ];
      wantedBy = [ "multi-user.target" ];
      requires = socketUnits;
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ] ++ socketUnits;
      stopIfChanged = false;
      serviceConfig =
        wh.hardening
        // wh.kept
        // {
          ExecStart = "${lib.getExe cfg.package} --configFile=${cfg.configFile}";
          User = "wisehosting-traefik";
          Group = "wisehosting-traefik";
          ReadWritePaths = [ accessLog ];
          # Requests in flight have Traefik's ten seconds to end.
          TimeoutStopSec = "20s";
        };
    };

    # While the agent is stopped Traefik goes on writing, and nobody empties what it writes. Far above where the agent does,
    # so that nothing is lost that it would have read.
    systemd.services.wisehosting-traefik-log = {
      description = "Empty Traefik's access log if the WiseHosting proxy does not";
      startAt = "minutely";
      serviceConfig = wh.hardening // {
        Type = "oneshot";
        ExecStart = "${pkgs.findutils}/bin/find ${accessLog} -size +64M -exec ${pkgs.coreutils}/bin/truncate --size=0 {} +";
        User = "wisehosting-traefik";
        Group = "wisehosting-traefik";
        ReadWritePaths = [ accessLog ];
        # Not a line in the journal every minute.
        LogLevelMax = "notice";
      };
    };

    services.wisehosting.healthGate.checks.proxy.units = [ "wisehosting-traefik.service" ];

    networking.firewall.allowedTCPPorts = lib.mkIf top.proxy.openFirewall [
      (wh.portOf entryPoints.web.address)
      (wh.portOf entryPoints.websecure.address)
    ];
    networking.firewall.interfaces.${top.mesh.settings.interface}.allowedTCPPorts = lib.mkIf (
      entryPoints ? metrics
    ) [ (wh.portOf entryPoints.metrics.address) ];
  };
}
