# The control plane's way to whichever member of the database cluster leads: HAProxy on loopback, which asks Patroni of
# each member whether it is the one.
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
  cfg = top.database.cluster;
  members = lib.filterAttrs (_: entry: entry.database) top.fleet.hosts;

  # Sessions live as long as both ends do: notifications may stay away for hours. A session with a leader that is gone
  # or no longer one is cut, so that the control plane hears of it and connects to the next.
  settings = pkgs.writeText "haproxy-database-leader.cfg" ''
    global
      maxconn 500
      log stdout format raw daemon notice

    defaults
      mode tcp
      log global
      timeout connect 2s
      timeout check 2s
      timeout client 24h
      timeout server 24h

    listen leader
      bind 127.0.0.1:${toString cfg.localPort}
      # Answered without a body, which nobody would read.
      option httpchk OPTIONS /primary
      option srvtcpka
      http-check expect status 200
      default-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions
    ${lib.concatStrings (
      lib.mapAttrsToList (name: entry: ''
        ${"  "}server ${name} ${toString entry.meshAddress}:5432 check port 8008
      '') members
    )}
  '';
in
{
  options.services.wisehosting.database.cluster.localPort = mkOption {
    type = types.port;
    default = 6432;
    description = "Port on loopback of the control plane's host at which the leader of the cluster is.";
  };

  config = lib.mkIf (cfg.enable && top.controlPlane.enable) {
    assertions = [
      {
        assertion = cfg.passwordFile != null;
        message = "services.wisehosting.database.cluster.passwordFile: set it on the control plane's host too.";
      }
    ];

    services.wisehosting.controlPlane.database = {
      url = lib.mkDefault "postgres://wisehosting@127.0.0.1:${toString cfg.localPort}/wisehosting?sslmode=disable";
      passwordFile = lib.mkDefault cfg.passwordFile;
    };

    systemd.services.wisehosting-database-leader = {
      description = "Way to the leader of the database cluster";
      wantedBy = [ "multi-user.target" ];
      before = [ "wisehosting-control-plane.service" ];
      after = [ "network.target" ];
      serviceConfig = wh.hardening // {
        Type = "notify";
        ExecStart = "${lib.getExe' pkgs.haproxy "haproxy"} -Ws -f ${settings}";
        Restart = "always";
        RestartSec = "2s";
        DynamicUser = true;
        # HAProxy sets its own limit of open files.
        SystemCallFilter = [
          "@system-service"
          "~@privileged"
        ];
      };
    };
  };
}
