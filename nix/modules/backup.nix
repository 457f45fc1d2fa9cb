# Backups of the control plane: dumps of its database on a schedule and before each upgrade, and the way back.
# The programs are in nix/backup.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:
let
  inherit (lib) mkEnableOption mkOption types;
  wh = import ./lib.nix { inherit lib pkgs; };
  top = config.services.wisehosting;
  cfg = top.backup;
  inherit (top.controlPlane) database;
  inherit (database) passwordFile;
  stateDir = top.controlPlane.settings.api_server.state_dir;

  program =
    name: inputs: script:
    pkgs.writeShellApplication {
      inherit name;
      runtimeInputs = [
        cfg.postgresqlPackage
        pkgs.coreutils
        pkgs.findutils
        pkgs.gnugrep
      ]
      ++ inputs;
      text = builtins.readFile ../backup/database.sh + builtins.readFile script;
    };
  backup = program "wisehosting-backup" [ pkgs.diffutils ] ../backup/backup.sh;
  restore = program "wisehosting-restore" [
    config.systemd.package
    pkgs.util-linux
  ] ../backup/restore.sh;
  # The program with what this host's configuration knows.
  restoreHere = pkgs.writeShellApplication {
    name = "wisehosting-restore";
    text = ''
      export ${
        if database.urlFile == null then
          "DATABASE_URL=${lib.escapeShellArg database.url}"
        else
          "DATABASE_URL_FILE=${lib.escapeShellArg database.urlFile}"
      }
      ${lib.optionalString (
        passwordFile != null
      ) "export DATABASE_PASSWORD_FILE=${lib.escapeShellArg passwordFile}"}
      ${lib.optionalString database.createLocally "export POSTGRES_LOCAL=1"}
      exec ${lib.getExe restore} "$@"
    '';
  };

  unit = description: arguments: {
    inherit description;
    wants = [ "network-online.target" ];
    requires = database.units;
    after = [ "network-online.target" ] ++ database.units;
    unitConfig.RequiresMountsFor = directories;
    environment = {
      BACKUP_DIRECTORY = cfg.directory;
      BACKUP_METRICS = cfg.metricsDirectory;
      KEEP_AT_LEAST = toString cfg.keep.atLeast;
      KEEP_DAYS = toString cfg.keep.days;
      SECRET_MADE = "${stateDir}/secrets/api_server_secret";
    }
    // lib.optionalAttrs (database.urlFile == null) { DATABASE_URL = database.url; }
    // lib.optionalAttrs (cfg.secretDirectory != null) { SECRET_DIRECTORY = cfg.secretDirectory; };
    serviceConfig = wh.hardening // {
      Type = "oneshot";
      ExecStart = "${lib.getExe backup} ${utils.escapeSystemdExecArgs arguments}";
      # The database's owner, so that no other role is needed. A control plane in wrong hands does not reach the dumps
      # all the same: its own sandbox has this directory read-only.
      User = "wisehosting";
      Group = "wisehosting";
      LoadCredential = wh.loadCredentials {
        database_url = database.urlFile;
        database_password = passwordFile;
        api_server_secret = if cfg.secretDirectory == null then null else top.controlPlane.secretFile;
      };
      ReadWritePaths = directories ++ [ cfg.metricsDirectory ];
      # Dumping gives way to serving.
      Nice = 10;
      IOSchedulingClass = "idle";
    };
  };
  directories = [ cfg.directory ] ++ lib.optional (cfg.secretDirectory != null) cfg.secretDirectory;
in
{
  options.services.wisehosting.backup = {
    enable = mkEnableOption "backups of the control plane's database";
    startAt = mkOption {
      type = types.either types.str (types.listOf types.str);
      default = "*-*-* 03:30:00";
      example = "hourly";
      description = "When a dump is made: calendar events of systemd.time(7).";
    };
    directory = mkOption {
      type = wh.secretPath;
      default = "/var/lib/wisehosting/backup";
      example = "/mnt/backup/wisehosting";
      description = "Where dumps are kept, readable by root and the control plane's user only. A dump that stays on this disk is lost with it: see `copyCommand`.";
    };
    secretDirectory = mkOption {
      type = types.nullOr wh.secretPath;
      default = null;
      example = "/mnt/usb/wisehosting-secret";
      description = ''
        Where a copy of `api_server_secret` is kept; nothing is copied when null. It has to be another place than
        that of the dumps: either alone opens nothing, both together open everything.
      '';
    };
    keep = {
      atLeast = mkOption {
        type = types.ints.positive;
        default = 7;
        description = "So many of the newest dumps stay, however old they are.";
      };
      days = mkOption {
        type = types.ints.unsigned;
        default = 30;
        description = "Other dumps go when they are older than so many days.";
      };
    };
    copyCommand = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = lib.literalExpression ''
        [ (lib.getExe pkgs.restic) "--repo" "sftp:backup@nas:wisehosting" "--password-file" "/run/credentials/wisehosting-backup.service/restic" "backup" ]
      '';
      description = ''
        Program and arguments that take a new dump elsewhere; the path of the dump is the last argument. No shell is
        involved. When it fails, so does `wisehosting-backup.service`. Its credentials:
        `systemd.services.wisehosting-backup.serviceConfig.LoadCredential`.
      '';
    };
    beforeUpgrade = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether another version of the control plane starts, and with it migrates the database, only once a dump was
        made. These dumps have `before-upgrade` in their name and stay on this host.
      '';
    };
    postgresqlPackage = mkOption {
      type = types.package;
      default =
        if database.createLocally then config.services.postgresql.package else top.database.package;
      defaultText = lib.literalMD "`services.postgresql.package` for a local database, else `database.package`";
      description = "Package with `pg_dump` and `pg_restore`, of the same major version as the server.";
    };
    metricsDirectory = mkOption {
      type = types.str;
      default = "/var/lib/wisehosting/metrics";
      readOnly = true;
      internal = true;
      description = "Where the time of the last dump is told to the node exporter.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = top.controlPlane.enable;
        message = "services.wisehosting.backup.enable: there is no control plane on this host to back up. Set it on the host with the role `control-plane`.";
      }
      {
        assertion = cfg.secretDirectory == null || cfg.secretDirectory != cfg.directory;
        message = "services.wisehosting.backup.secretDirectory must not be the directory of the dumps: together they open everything.";
      }
    ];

    systemd.services = {
      wisehosting-backup =
        unit "Backup of the WiseHosting control plane" (
          lib.optionals (cfg.copyCommand != [ ]) ([ "--" ] ++ cfg.copyCommand)
        )
        // {
          inherit (cfg) startAt;
        };
      wisehosting-backup-before-upgrade = lib.mkIf cfg.beforeUpgrade (
        unit "Backup of the WiseHosting control plane before an upgrade" [
          "--before"
          "${top.controlPlane.package}"
        ]
      );
      wisehosting-control-plane.serviceConfig = lib.mkIf cfg.beforeUpgrade {
        # A unit of its own, because the control plane must not reach the dumps. When it fails, so does this start,
        # which is tried again; a dependency that failed would not be.
        ExecStartPre = "+${lib.getExe' config.systemd.package "systemctl"} start wisehosting-backup-before-upgrade.service";
        TimeoutStartSec = "1h";
      };
    };
    systemd.timers.wisehosting-backup.timerConfig = {
      Persistent = true;
      RandomizedDelaySec = "5min";
    };
    systemd.tmpfiles.settings.wisehosting-backup =
      lib.genAttrs directories (_: {
        d = {
          user = "wisehosting";
          group = "wisehosting";
          mode = "0700";
        };
      })
      // {
        ${cfg.metricsDirectory}.d = {
          user = "wisehosting";
          group = "wisehosting";
          mode = "0755";
        };
      };

    environment.systemPackages = [ restoreHere ];
  };
}
