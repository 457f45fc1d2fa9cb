# Prometheus with its alerts, exporters on every host, Grafana with dashboards. Targets follow from the fleet; nothing
# is reachable but over the mesh or on loopback. Rules are in nix/monitoring, dashboards in nix/grafana.
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
  cfg = top.monitoring;
  inherit (top.mesh.settings) interface;
  inFleet = top.fleet != null;
  hosts = if inFleet then top.fleet.hosts else { };
  # One that joined by token and is not pinned yet has no address here; the control plane tells whether it is online.
  reached = lib.filterAttrs (_: entry: entry.meshAddress != null) hosts;
  localPostgres = top.controlPlane.enable && top.controlPlane.database.createLocally;

  cluster = lib.any (entry: entry.database) (lib.attrValues hosts);

  # The ports that they have by default.
  ports = {
    worker = 8090;
    proxy = 8091;
    patroni = 8008;
  };

  job = job_name: targets: {
    inherit job_name;
    static_configs = lib.mapAttrsToList (host: target: {
      targets = [ target ];
      labels = { inherit host; };
    }) targets;
  };
  # A job with the hosts of the fleet for which `is` holds.
  fleetJob =
    name: port: is:
    job name (
      lib.mapAttrs (_: entry: "${entry.meshAddress}:${toString port}") (
        lib.filterAttrs (_: entry: is entry) reached
      )
    );
  roleJob = role: fleetJob "wisehosting-${role}" ports.${role} (entry: lib.elem role entry.roles);
  here = target: { ${config.networking.hostName} = target; };
in
{
  options.services.wisehosting.monitoring = {
    enable = mkOption {
      type = types.bool;
      default = inFleet && top.fleet.monitoring && top.controlPlane.enable;
      defaultText = lib.literalMD "`fleet.monitoring` on the control plane's host";
      description = "Whether Prometheus runs on this host, watches the fleet and raises alerts.";
    };
    port = mkOption {
      type = types.port;
      default = 9090;
      description = "Port of Prometheus, on loopback.";
    };
    retention = mkOption {
      type = types.str;
      default = "30d";
      description = "How long Prometheus keeps what it has seen.";
    };
    exporters = {
      enable = mkOption {
        type = types.bool;
        default = inFleet && top.fleet.monitoring && cfg.exporters.listenAddress != null;
        defaultText = lib.literalMD "`fleet.monitoring`, once the host's mesh address is in the fleet";
        description = "Whether this host runs the node exporter.";
      };
      listenAddress = mkOption {
        type = types.nullOr types.str;
        default = if inFleet then top.self.meshAddress else null;
        defaultText = lib.literalMD "the host's `meshAddress` in the fleet";
        example = "10.50.0.11";
        description = "Address of the node exporter; the firewall opens its port on the mesh alone.";
      };
      port = mkOption {
        type = types.port;
        default = 9100;
        description = "Port of the node exporter, the same on every host.";
      };
    };
    grafana = {
      enable = mkEnableOption "Grafana with the dashboards of WiseHosting, on loopback";
      port = mkOption {
        type = types.port;
        default = 3000;
        description = "Port of Grafana, on loopback: reach it by `ssh -L 3000:127.0.0.1:3000`.";
      };
      adminPasswordFile = wh.mkSecret {
        description = "Password of Grafana's user `admin` at the first start. Made when not given, in `/var/lib/grafana/admin-password`.";
        example = "/run/secrets/grafana-admin-password";
      };
    };
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.exporters.enable {
      assertions = [
        {
          assertion = cfg.exporters.listenAddress != null;
          message = "services.wisehosting.monitoring.exporters.listenAddress: say the host's mesh address, or write `meshAddress` into its fleet entry (`wh fleet pin` prints it).";
        }
      ];
      services.prometheus.exporters.node = {
        enable = true;
        listenAddress = lib.mkDefault (toString cfg.exporters.listenAddress);
        inherit (cfg.exporters) port;
        # Which units failed.
        enabledCollectors = [ "systemd" ];
        extraFlags = lib.optional top.backup.enable "--collector.textfile.directory=${top.backup.metricsDirectory}";
      };
      # The address is there once the tunnel is; until then the exporter tries again.
      systemd.services.prometheus-node-exporter = {
        wants = [ "wisehosting-mesh.service" ];
        after = [ "wisehosting-mesh.service" ];
        startLimitIntervalSec = 0;
        serviceConfig.RestartSec = "5s";
      };
      networking.firewall.interfaces.${interface}.allowedTCPPorts = [ cfg.exporters.port ];
    })

    (lib.mkIf cfg.enable {
      services.prometheus = {
        enable = true;
        listenAddress = "127.0.0.1";
        inherit (cfg) port;
        retentionTime = cfg.retention;
        globalConfig = {
          scrape_interval = lib.mkDefault "15s";
          evaluation_interval = lib.mkDefault "15s";
        };
        scrapeConfigs = [
          (job "prometheus" (here "127.0.0.1:${toString cfg.port}"))
        ]
        ++ lib.optional top.controlPlane.enable (
          job "wisehosting-control-plane" (here top.controlPlane.settings.api_server.mesh_listen)
        )
        ++ lib.optionals inFleet [
          (roleJob "worker")
          (roleJob "proxy")
          (fleetJob "node" cfg.exporters.port (_: true))
        ]
        # Patroni of each member tells who leads and who follows.
        ++ lib.optional cluster (fleetJob "patroni" ports.patroni (entry: entry.database))
        ++ lib.optional localPostgres (
          job "postgres" (here "127.0.0.1:${toString config.services.prometheus.exporters.postgres.port}")
        );
        rules = [
          (builtins.toJSON (
            import ../monitoring/rules.nix {
              inherit lib;
              backup = top.backup.enable;
              postgres = localPostgres;
              inherit cluster;
            }
          ))
        ];
        exporters.postgres = lib.mkIf localPostgres {
          enable = true;
          listenAddress = "127.0.0.1";
          # Over the Unix socket, so that there is no password.
          runAsLocalSuperUser = true;
        };
      };
      systemd.services.prometheus-postgres-exporter = lib.mkIf localPostgres {
        after = top.controlPlane.database.units;
        serviceConfig.RestartSec = "5s";
      };
    })

    (lib.mkIf cfg.grafana.enable {
      assertions = [
        {
          assertion = cfg.enable;
          message = "services.wisehosting.monitoring.grafana needs services.wisehosting.monitoring.enable: it shows what Prometheus on this host knows.";
        }
      ];
      services.grafana = {
        enable = true;
        settings = {
          server = {
            http_addr = "127.0.0.1";
            http_port = cfg.grafana.port;
          };
          security = {
            admin_password = "$__file{${
              if cfg.grafana.adminPasswordFile == null then
                "${config.services.grafana.dataDir}/admin-password"
              else
                "/run/credentials/grafana.service/admin_password"
            }}";
            secret_key = "$__file{${config.services.grafana.dataDir}/secret-key}";
          };
          analytics = {
            reporting_enabled = false;
            check_for_updates = false;
          };
        };
        provision = {
          enable = true;
          datasources.settings.datasources = [
            {
              name = "Prometheus";
              type = "prometheus";
              uid = "wisehosting";
              access = "proxy";
              url = "http://127.0.0.1:${toString cfg.port}";
              isDefault = true;
            }
          ];
          dashboards.settings.providers = [
            {
              name = "WiseHosting";
              folder = "WiseHosting";
              options.path = "${../grafana}";
            }
          ];
        };
      };
      systemd.services.grafana = {
        preStart = ''
          # Secrets that nobody gave are made once and never leave the host.
          for secret in admin-password secret-key; do
            if [ ! -s "${config.services.grafana.dataDir}/$secret" ]; then
              (umask 077; head -c 24 /dev/urandom | base64 > "${config.services.grafana.dataDir}/$secret")
            fi
          done
        '';
        serviceConfig.LoadCredential = wh.loadCredentials {
          admin_password = cfg.grafana.adminPasswordFile;
        };
      };
    })
  ];
}
