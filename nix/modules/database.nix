# Where the control plane's Postgres is: on its own host, or anywhere by a URL.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  wh = import ./lib.nix { inherit lib pkgs; };
  cfg = config.services.wisehosting.controlPlane;
  local = cfg.enable && cfg.database.createLocally;
in
{
  options.services.wisehosting.controlPlane.database = {
    createLocally = mkOption {
      type = types.bool;
      default = cfg.database.urlFile == null;
      defaultText = lib.literalExpression "urlFile == null";
      description = "Whether Postgres runs on this host, reached by its Unix socket and without a password.";
    };
    urlFile = wh.mkSecret {
      description = "File with the URL of the database, for one that runs elsewhere.";
      example = "/run/secrets/wisehosting-database-url";
    };
    url = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "postgres://wisehosting@localhost/wisehosting?host=/run/postgresql";
      description = "URL of the database when it holds no password.";
    };
    units = mkOption {
      type = types.listOf types.str;
      internal = true;
      default = [ ];
      description = "Units of this host that the database needs.";
    };
  };

  config = lib.mkIf local {
    services.wisehosting.controlPlane.database = {
      url = lib.mkDefault "postgres://wisehosting@localhost/wisehosting?host=/run/postgresql";
      # Users and databases are made by a unit of their own since 25.11, which only the target waits for.
      units = [
        (if config.systemd.targets ? postgresql then "postgresql.target" else "postgresql.service")
      ];
    };
    services.postgresql = {
      enable = true;
      ensureDatabases = [ "wisehosting" ];
      ensureUsers = [
        {
          name = "wisehosting";
          ensureDBOwnership = true;
        }
      ];
    };
  };
}
