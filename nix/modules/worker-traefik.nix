# Traefik in place of the worker's own ingress. It asks the control plane for the worker's direct zones by itself; what
# that means is in docs/operations/traefik.md.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  wh = import ./lib.nix { inherit lib pkgs; };
  top = config.services.wisehosting;
  cfg = top.worker.traefik;
  name = "wisehosting-worker-traefik";
  static = pkgs.writeText "traefik.json" (builtins.toJSON cfg.settings);
  sockets = wh.entryPointSockets name cfg.settings.entryPoints;
  socketUnits = map (socket: "${socket}.socket") (lib.attrNames sockets);

  # Traefik takes its static configuration from one place only, and the store is no place for a token. From file to file,
  # because arguments and environments can be read by others.
  provider = pkgs.writeText "provider.jq" ''
    .providers.http.endpoint = $control_plane + "/v1/traefik/config?worker_id=" + $node[0].node_id
    | .providers.http.headers.Authorization = "Bearer " + ($token | rtrimstr("\n"))
  '';

  # As root, because the identity also holds this node's key, which is not for what faces the internet. The folder is new
  # at each start: nothing of Traefik's is in it yet.
  render = pkgs.writeShellScript "${name}-render" ''
    set -euo pipefail
    umask 0077
    identity=${top.mesh.settings.state_dir}/identity.json
    # Traefik takes one address: that of the first control plane that answers, or of the first one.
    mapfile -t control_planes < <(jq -r '.control_planes[]' "$identity")
    control_plane=''${control_planes[0]}
    for url in "''${control_planes[@]}"; do
      if curl --silent --fail --max-time 2 --output /dev/null "$url/health"; then
        control_plane=$url
        break
      fi
    done
    jq --arg control_plane "$control_plane" --slurpfile node "$identity" \
      --rawfile token "$CREDENTIALS_DIRECTORY/route_token" \
      --from-file ${provider} ${static} > "$RUNTIME_DIRECTORY/traefik.yaml"
    chown ${name}: "$RUNTIME_DIRECTORY/traefik.yaml"
  '';
in
{
  options.services.wisehosting.worker.traefik = {
    enable = lib.mkEnableOption "Traefik in place of the worker's own ingress, for the direct zones that point at this worker";
    package = lib.mkPackageOption pkgs "traefik" { };
    tokenFile = wh.mkSecret {
      description = "Route token of this worker, as `wh route-token create NAME --worker WORKER` prints it. Until the file is there, Traefik is tried again every few seconds.";
      example = "/run/secrets/wisehosting-route-token";
    };
    settings = wh.mkSettings {
      description = ''
        Traefik's static configuration, over what the zones need. Nothing in it is secret: it is in the Nix store. Where
        the routes are and the token are added when Traefik starts. The routes name the entry point `web`.
      '';
      example.entryPoints.web.address = ":8088";
    };
  };

  config = lib.mkIf (top.worker.enable && cfg.enable) {
    assertions = [
      {
        assertion = cfg.tokenFile != null;
        message = "services.wisehosting.worker.traefik.tokenFile is missing: Traefik asks the control plane with it. `wh route-token create NAME --worker WORKER` prints one.";
      }
      {
        assertion = top.worker.settings.ingress or null == null;
        message = "services.wisehosting.worker: `settings.ingress` and `traefik.enable` are two engines for the same zones. Choose one.";
      }
    ];

    services.wisehosting.worker.traefik.settings = lib.mapAttrsRecursive (_: lib.mkDefault) {
      entryPoints.web.address = ":8080";
      global = {
        checkNewVersion = false;
        sendAnonymousUsage = false;
      };
      log = {
        level = "INFO";
        format = "json";
      };
      # Two seconds unless told otherwise, on top of the interval.
      providers.providersThrottleDuration = "100ms";
      providers.http.pollInterval = "5s";
    };

    users.groups.${name} = { };
    users.users.${name} = {
      isSystemUser = true;
      group = name;
      description = "Traefik of the WiseHosting worker";
    };

    systemd.sockets = sockets;

    systemd.services.${name} = {
      description = "Traefik, which serves the direct zones of the WiseHosting worker";
      documentation = [ "https://doc.traefik.io/traefik/" ];
      wantedBy = [ "multi-user.target" ];
      requires = socketUnits;
      wants = [ "network-online.target" ];
      after = [
        "network-online.target"
        "wisehosting-mesh.service"
      ]
      ++ socketUnits;
      path = [
        pkgs.curl
        pkgs.jq
      ];
      stopIfChanged = false;
      serviceConfig =
        wh.hardening
        // wh.kept
        // {
          ExecStartPre = "+${render}";
          # JSON is YAML.
          ExecStart = "${lib.getExe cfg.package} --configFile=/run/${name}/traefik.yaml";
          LoadCredential = wh.loadCredentials { route_token = cfg.tokenFile; };
          User = name;
          Group = name;
          RuntimeDirectory = name;
          RuntimeDirectoryMode = "0700";
          TimeoutStopSec = "20s";
        };
    };

    networking.firewall.allowedTCPPorts = lib.mkIf top.worker.openFirewall [
      (wh.portOf cfg.settings.entryPoints.web.address)
    ];
  };
}
