# The control plane: dashboard, API, hub. Its database is in database.nix.
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
  cfg = top.controlPlane;
  inherit (cfg) database tls;
  program = lib.getExe' cfg.package "wisehosting-control-plane";

  secrets = {
    api_server_secret = cfg.secretFile;
    proxy_token = cfg.proxyTokenFile;
    acme_eab_hmac_key = cfg.acmeEabKeyFile;
    database_url = database.urlFile;
    database_password = database.passwordFile;
    "tls.crt" = tls.certificate;
    "tls.key" = tls.key;
  };

  # Secrets that the configuration file may have elsewhere: here it is in the store, where every user reads it.
  inStore = lib.filterAttrs (path: _: lib.hasAttrByPath (lib.splitString "." path) cfg.settings) {
    "acme.eab_hmac_key" = "acmeEabKeyFile";
    "api_server.secret" = "secretFile";
    "proxy.token" = "proxyTokenFile";
  };

  # Chores need what the service has: its user, its credentials, its configuration.
  admin = pkgs.writeShellApplication {
    name = "wisehosting-admin";
    runtimeInputs = [ config.systemd.package ];
    text = ''
      # wisehosting-admin setup-code | reset-password EMAIL | …: chores of the control plane, for root on its host.
      exec systemd-run --quiet --collect --pipe --wait --service-type=exec \
        --uid=wisehosting --gid=wisehosting --setenv=CONFIG_PATH=${cfg.configFile} --setenv=WH_LOG=warn \
        ${
          lib.concatMapStringsSep " " (credential: "--property=LoadCredential=${credential}") (
            wh.loadCredentials secrets
          )
        } \
        ${program} admin "$@"
    '';
  };
in
{
  options.services.wisehosting.controlPlane = {
    enable = mkEnableOption "the WiseHosting control plane: dashboard, API and hub";
    package = mkOption {
      type = types.package;
      default = top.package;
      defaultText = lib.literalExpression "config.services.wisehosting.package";
      description = "Package with `wisehosting-control-plane`.";
    };
    behindProxies = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Whether the proxies serve the dashboard at `settings.api_server.base_url`, on ports 80 and 443 and with a
        certificate that they order. `settings.api_server.listen` is then on loopback only, unless `openFirewall` is set.

        On by itself in a fleet with a proxy whose `url` is `https://` and a host name, where `settings.acme` is set.
      '';
    };
    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = "Whether the port of `settings.api_server.listen` is reachable from outside. Not needed with `behindProxies`.";
    };
    secretFile = wh.mkSecret {
      description = "The secret under which all sealed values are sealed. Without it the control plane makes one at its first start, in `/var/lib/wisehosting/control-plane/secrets`: back it up.";
      example = "/run/secrets/wisehosting-api-server-secret";
    };
    proxyTokenFile = wh.mkSecret {
      description = "Bearer token of the Traefik provider endpoints. Made at the first start when not given.";
      example = "/run/secrets/wisehosting-proxy-token";
    };
    acmeEabKeyFile = wh.mkSecret {
      description = "Key of the external account binding (HMAC), for a CA that wants one: it tells the key beside `settings.acme.eab_key_id`.";
      example = "/run/secrets/wisehosting-acme-eab-key";
    };
    tls = {
      certificate = wh.mkSecret {
        description = "Certificate chain (PEM) of `api_server.listen`, which then speaks TLS 1.3. Needs `key`.";
        example = "/var/lib/acme/cp.example.com/fullchain.pem";
      };
      key = wh.mkSecret {
        description = "Key (PEM) of `certificate`.";
        example = "/var/lib/acme/cp.example.com/key.pem";
      };
    };
    settings = wh.mkSettings {
      options = import ./control-plane-settings.nix { inherit lib pkgs; };
      description = "Settings of the control plane, as in `docs/configuration.md`. The fleet fills in what it knows.";
      example = {
        acme.directory = "https://acme-v02.api.letsencrypt.org/directory";
        acme.contact = "mailto:ops@example.com";
        limits.build_memory_mb = 4096;
        dns.resolvers = [ "9.9.9.9" ];
      };
    };
    configFile = wh.mkConfigFile "wisehosting-control-plane";
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = top.mesh.enable;
        message = "services.wisehosting.controlPlane needs services.wisehosting.mesh.enable: agents reach it over the mesh.";
      }
      {
        assertion = (tls.certificate == null) == (tls.key == null);
        message = "services.wisehosting.controlPlane.tls: set both `certificate` and `key`, or neither.";
      }
      {
        assertion = inStore == { };
        message = "services.wisehosting.controlPlane.settings: secrets in it would be in the Nix store, where everybody reads them. ${
          lib.concatStrings (
            lib.mapAttrsToList (
              path: option: "Put `${path}` into a file and name that by `${option}`. "
            ) inStore
          )
        }";
      }
      {
        assertion = (cfg.acmeEabKeyFile == null) == (cfg.settings.acme.eab_key_id or null == null);
        message = "services.wisehosting.controlPlane: set both `acmeEabKeyFile` and `settings.acme.eab_key_id`, or neither: the CA tells both.";
      }
    ];

    services.wisehosting.controlPlane = {
      settings = {
        api_server = {
          listen = lib.mkDefault (
            if cfg.behindProxies && !cfg.openFirewall then "127.0.0.1:8080" else "0.0.0.0:8080"
          );
          local_listen = lib.mkDefault "127.0.0.1:8082";
          front_listen = lib.mkIf cfg.behindProxies (lib.mkDefault "${cfg.settings.mesh.address}:8082");
          state_dir = lib.mkDefault "/var/lib/wisehosting/control-plane";
        }
        // lib.optionalAttrs (tls.certificate != null) {
          # Credentials: the key of an ACME client need not be readable by the service's user.
          tls_cert = lib.mkDefault "/run/credentials/wisehosting-control-plane.service/tls.crt";
          tls_key = lib.mkDefault "/run/credentials/wisehosting-control-plane.service/tls.key";
        };
        database = lib.optionalAttrs (database.url != null) { url = lib.mkDefault database.url; };
        mesh = {
          cidr = lib.mkDefault top.mesh.cidr;
          public_key_file = lib.mkDefault "${top.mesh.settings.state_dir}/public.key";
        };
      };
      configFile = wh.checkedConfig {
        inherit (cfg) package settings;
        program = "wisehosting-control-plane";
      };
    };

    users.groups.wisehosting = { };
    users.users.wisehosting = {
      isSystemUser = true;
      group = "wisehosting";
      description = "WiseHosting control plane";
    };

    systemd.services.wisehosting-control-plane = {
      description = "WiseHosting control plane";
      wantedBy = [ "multi-user.target" ];
      # Not required: it rides out a database that stops, and would not come back with one that starts again.
      wants = [
        "network-online.target"
        "wisehosting-mesh.service"
      ]
      ++ database.units;
      after = [
        "network-online.target"
        "wisehosting-mesh.service"
      ]
      ++ database.units;
      serviceConfig =
        wh.hardening
        // wh.kept
        // {
          ExecStart = "${program} serve --config ${cfg.configFile}";
          LoadCredential = wh.loadCredentials secrets;
          User = "wisehosting";
          Group = "wisehosting";
          StateDirectory = "wisehosting/control-plane";
          StateDirectoryMode = "0700";
          # Migrations run before the service is ready.
          TimeoutStartSec = lib.mkDefault "5min";
        };
    };

    environment.systemPackages = [
      cfg.package
      admin
    ];
    environment.etc."wisehosting/control-plane.json".source = cfg.configFile;

    networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall [
      (wh.portOf cfg.settings.api_server.listen)
    ];
    networking.firewall.interfaces.${top.mesh.settings.interface}.allowedTCPPorts = [
      (wh.portOf cfg.settings.api_server.mesh_listen)
    ]
    ++ lib.optional cfg.behindProxies (wh.portOf cfg.settings.api_server.front_listen);
  };
}
