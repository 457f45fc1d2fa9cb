# Where the control plane's tables are: in a Postgres of its own host, in one that somebody else runs, or in the cluster
# of database-cluster.nix.
{
  config,
  lib,
  options,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  wh = import ./lib.nix { inherit lib pkgs; };
  top = config.services.wisehosting;
  cfg = top.controlPlane.database;
  local = top.controlPlane.enable && cfg.createLocally;

  # Role, database and system user have one name, so that the socket's peer is the whole proof.
  name = "wisehosting";
  socket = "postgres://${name}@localhost/${name}?host=/run/postgresql";

  # Role and database are made after the server has started: by the target where NixOS has one, else by the service.
  unit = if config.systemd.targets ? postgresql then "postgresql.target" else "postgresql.service";

  # Whether `url` was set at all; its value falls back on what follows from this.
  given =
    options.services.wisehosting.controlPlane.database.url.highestPrio < (lib.mkOptionDefault null)
    .priority;

  path = "services.wisehosting.controlPlane.database";

  hasPassword =
    url:
    lib.any (pattern: builtins.match pattern url != null) [
      "[^:/]+://[^/@]*:[^/@]*@.*"
      ".*[?&]password=.*"
    ];
in
{
  imports = [ ./database-cluster.nix ];

  options.services.wisehosting = {
    database.package = mkOption {
      type = types.package;
      default = pkgs.postgresql_17;
      defaultText = lib.literalExpression "pkgs.postgresql_17";
      description = ''
        Postgres of this host, on its own or as a member of the cluster. The major is named here and follows neither a
        release of NixOS nor `system.stateVersion`: a new one does not read the old one's files.
        `docs/nixos/database.md` says how to change it.
      '';
    };

    controlPlane.database = {
      createLocally = mkOption {
        type = types.bool;
        default = cfg.urlFile == null && !given;
        defaultText = lib.literalMD "true, unless `url`, `urlFile` or the cluster says where the database is";
        description = ''
          Whether this host runs the control plane's Postgres. It is reached through a Unix socket and knows the control
          plane by its system user: there is no password, and nothing listens for others.
        '';
      };
      url = mkOption {
        type = types.nullOr types.str;
        default = null;
        defaultText = lib.literalMD "the socket of the local database, the leader of the cluster, or null with `urlFile`";
        apply = url: if url == null && cfg.createLocally then socket else url;
        example = "postgres://wisehosting@db.example.com/wisehosting?sslmode=verify-full";
        description = ''
          The database, without a password: this text is in the store, where every user of the host reads it. The
          password is in `passwordFile`, or use `urlFile`. Filled in for a local database and for the cluster.
        '';
      };
      urlFile = wh.mkSecret {
        description = "File with the database's whole URL, password and all.";
        example = "/run/secrets/wisehosting-database-url";
      };
      passwordFile = wh.mkSecret {
        description = "File with the password that belongs to `url`.";
        example = "/run/secrets/wisehosting-database-password";
      };
      units = mkOption {
        type = types.listOf types.str;
        readOnly = true;
        internal = true;
        default = lib.optional local unit;
        defaultText = lib.literalMD "the units of this host behind which the database is";
        description = "Units of this host to start before the control plane.";
      };
    };
  };

  config = lib.mkMerge [
    (lib.mkIf top.controlPlane.enable {
      assertions = [
        {
          assertion =
            !lib.any hasPassword [
              (toString cfg.url)
              (top.controlPlane.settings.database.url or "")
            ];
          message = "${path}: the URL has a password, which would be in the world-readable store. Put it into a file and name that with `passwordFile`, or put the whole URL into one and name it with `urlFile`.";
        }
        {
          assertion = cfg.url == null || cfg.urlFile == null;
          message = "${path}: `url` and `urlFile` both say where the database is. Remove one${lib.optionalString cfg.createLocally ", or set `createLocally = false`"}.";
        }
      ];
    })

    (lib.mkIf local {
      assertions = [
        {
          assertion = cfg.url == socket;
          message = "${path}: `createLocally` makes a database on this host, but `url` names another one. Set `createLocally = false`.";
        }
      ];

      services.postgresql = {
        enable = true;
        # Above the default of NixOS, below what the host says itself.
        package = lib.mkOverride 900 top.database.package;
        ensureDatabases = [ name ];
        ensureUsers = [
          {
            inherit name;
            ensureDBOwnership = true;
          }
        ];
      };
    })
  ];
}
