# The control plane's database on several hosts: Patroni leads one Postgres and has the others follow it, etcd is what
# they agree by. Which hosts is said in the fleet (`database = true`); the control plane's way to the leader is in
# database-leader.nix. Everything is bound to mesh addresses: the tunnel encrypts, and proves who an address belongs to.
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
  inherit (top) fleet self;
  inherit (fleet.mesh) interface;

  hosts = if fleet == null then { } else fleet.hosts;
  members = lib.filterAttrs (_: entry: entry.database) hosts;
  controlPlanes = lib.filterAttrs (_: entry: lib.elem "control-plane" entry.roles) hosts;
  addresses = entries: map (entry: toString entry.meshAddress) (lib.attrValues entries);
  member = cfg.enable && self != null && self.database;
  address = toString self.meshAddress;

  ports = {
    postgres = config.services.patroni.postgresqlPort;
    patroni = config.services.patroni.restApiPort;
    etcdClient = 2379;
    etcdPeer = 2380;
  };

  # Copies that systemd makes for Patroni alone, of files that may belong to root.
  credential = name: "/run/credentials/patroni.service/${name}";

  # Nothing can bind to the mesh address before the tunnel is up.
  awaitMesh = pkgs.writeShellScript "await-mesh-address" ''
    until [ -n "$(${lib.getExe' pkgs.iproute2 "ip"} -4 address show to ${address}/32)" ]; do
      sleep 0.5
    done
  '';

  # Patroni runs it once, on the first leader, with the superuser's connection string. The password comes by way of
  # psql's own backquotes: on a command line everyone could read it.
  bootstrap = pkgs.writeShellScript "wisehosting-bootstrap" ''
    exec ${lib.getExe' top.database.package "psql"} --no-psqlrc --quiet --set=ON_ERROR_STOP=1 "$1" <<'SQL'
    \set password `cat ${credential "database_password"}`
    create role wisehosting login password :'password';
    create database wisehosting owner wisehosting;
    SQL
  '';

  needsAll =
    entries: field:
    let
      missing = lib.attrNames (lib.filterAttrs (_: entry: entry.${field} == null) entries);
    in
    {
      assertion = missing == [ ];
      message = "services.wisehosting.fleet.hosts: ${lib.concatStringsSep ", " missing} lacks `${field}`. The database cluster and its control plane find each other without asking anybody.";
    };
in
{
  imports = [ ./database-leader.nix ];

  options.services.wisehosting.database.cluster = {
    enable = mkOption {
      type = types.bool;
      default = members != { };
      defaultText = lib.literalMD "whether a host of the fleet has `database = true`";
      description = ''
        Whether the control plane's database is a cluster of the fleet's hosts with `database = true`: three or five,
        each with its `publicKey`, `meshAddress` and `address`. One of them may be lost without losing a change that
        was acknowledged, and the others go on within half a minute.
      '';
    };
    passwordFile = wh.mkSecret {
      description = "Password of the role `wisehosting`. The same on the members and on the control plane's host.";
      example = "/run/secrets/wisehosting-database-password";
    };
    replicationPasswordFile = wh.mkSecret {
      description = "Password with which members copy from each other. The same on all members.";
      example = "/run/secrets/wisehosting-replication-password";
    };
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.enable {
      assertions = [
        {
          assertion =
            lib.length (lib.attrNames members) >= 3 && lib.mod (lib.length (lib.attrNames members)) 2 == 1;
          message = "services.wisehosting.fleet.hosts: `database = true` on ${toString (lib.length (lib.attrNames members))} hosts (${lib.concatStringsSep ", " (lib.attrNames members)}). An odd number of at least 3 is needed, so that a majority is left when one is lost.";
        }
        (needsAll (members // controlPlanes) "publicKey")
        (needsAll (members // controlPlanes) "meshAddress")
        (needsAll (members // controlPlanes) "address")
      ];
    })

    (lib.mkIf member {
      assertions = [
        {
          assertion = cfg.passwordFile != null && cfg.replicationPasswordFile != null;
          message = "services.wisehosting.database.cluster: set `passwordFile` and `replicationPasswordFile` on every host with `database = true`.";
        }
      ];

      services.etcd = {
        enable = true;
        listenClientUrls = [ "http://${address}:${toString ports.etcdClient}" ];
        listenPeerUrls = [ "http://${address}:${toString ports.etcdPeer}" ];
        initialCluster = lib.mapAttrsToList (
          name: entry: "${name}=http://${toString entry.meshAddress}:${toString ports.etcdPeer}"
        ) members;
        initialClusterToken = "wisehosting";
      };

      services.patroni = {
        enable = true;
        scope = "wisehosting";
        name = config.networking.hostName;
        nodeIp = address;
        otherNodesIps = lib.remove address (addresses members);
        postgresqlPackage = top.database.package;
        # A leader that hangs must not come back to life beside its successor; a container has no watchdog.
        softwareWatchdog = lib.mkDefault (!config.boot.isContainer);
        environmentFiles = {
          PATRONI_REPLICATION_PASSWORD = credential "replication_password";
          PATRONI_REWIND_PASSWORD = credential "replication_password";
        };
        settings = {
          etcd3.hosts = map (member: "${member}:${toString ports.etcdClient}") (addresses members);
          # Only members may switch over, restart or reload each other; health is for all whom the firewall lets in.
          restapi.allowlist = addresses members;
          bootstrap = {
            post_bootstrap = "${bootstrap}";
            initdb = [
              { encoding = "UTF8"; }
              { locale = "C.UTF-8"; }
              "data-checksums"
            ];
            # What etcd holds from the first start on; later changes by `patronictl edit-config`.
            dcs = {
              # A leader that is gone is replaced after ttl at the latest: less than the control plane's
              # statement_timeout, after which Postgres would acknowledge what has not reached a second host.
              ttl = 20;
              loop_wait = 5;
              retry_timeout = 7;
              primary_start_timeout = 20;
              # An acknowledged change is on two hosts. With no host left to copy to, the leader goes on alone, and
              # nobody takes over from it by itself: strict mode would rather refuse all changes.
              synchronous_mode = true;
              # Without etcd the leader stays one while all members tell it so.
              failsafe_mode = true;
            };
          };
          postgresql = {
            use_pg_rewind = true;
            use_slots = true;
            use_unix_socket = true;
            # Copied at once, and not after the next regular checkpoint.
            basebackup = [ { checkpoint = "fast"; } ];
            # A leader that was replaced comes back as a replica without anybody's help. What only it has, nobody was
            # told to be safe.
            remove_data_directory_on_rewind_failure = true;
            remove_data_directory_on_diverged_timelines = true;
            authentication = {
              # No password: over the network there is no superuser.
              superuser.username = "postgres";
              replication.username = "replicator";
              rewind.username = "rewind";
            };
            parameters = {
              unix_socket_directories = "/run/postgresql";
              password_encryption = "scram-sha-256";
              # A host that is gone is noticed in seconds: the lock of a lost control plane, the wait for a lost replica.
              wal_sender_timeout = "10s";
              wal_receiver_timeout = "10s";
              tcp_keepalives_idle = 10;
              tcp_keepalives_interval = 5;
              tcp_keepalives_count = 3;
              tcp_user_timeout = "20s";
              wal_keep_size = "1GB";
              # Its compiler writes code into memory, which the sandbox forbids; the queries are too short to gain by it.
              jit = false;
            };
            pg_ident = [
              "superuser patroni postgres"
              "superuser root postgres"
            ];
            pg_hba = [
              "local all postgres peer map=superuser"
            ]
            ++ map (peer: "host wisehosting wisehosting ${peer}/32 scram-sha-256") (addresses controlPlanes)
            ++ lib.concatMap (peer: [
              "host replication replicator ${peer}/32 scram-sha-256"
              "host postgres rewind ${peer}/32 scram-sha-256"
            ]) (addresses members);
          };
        };
      };

      systemd.services.etcd = {
        wants = [ "wisehosting-mesh.service" ];
        after = [ "wisehosting-mesh.service" ];
        serviceConfig = {
          ExecStartPre = awaitMesh;
          StateDirectory = "etcd";
          StateDirectoryMode = "0700";
        };
      };

      systemd.services.patroni = {
        wants = [
          "etcd.service"
          "wisehosting-mesh.service"
        ];
        after = [
          "etcd.service"
          "wisehosting-mesh.service"
        ];
        startLimitIntervalSec = 0;
        serviceConfig = {
          ExecStartPre = awaitMesh;
          RestartSec = "2s";
          LoadCredential = wh.loadCredentials {
            database_password = cfg.passwordFile;
            replication_password = cfg.replicationPasswordFile;
          };
          # The socket's folder. A Postgres that outlives a restart of Patroni keeps it.
          RuntimeDirectory = "postgresql";
          RuntimeDirectoryPreserve = true;
        };
      };

      environment.sessionVariables.ETCDCTL_ENDPOINTS = "http://${address}:${toString ports.etcdClient}";

      # By address, which on the mesh nobody can forge: members among themselves, and control planes to Postgres and to
      # Patroni's health.
      networking.firewall.extraInputRules = ''
        iifname "${interface}" ip saddr { ${lib.concatStringsSep ", " (addresses members)} } tcp dport { ${
          lib.concatMapStringsSep ", " toString (lib.attrValues ports)
        } } accept
        iifname "${interface}" ip saddr { ${lib.concatStringsSep ", " (addresses controlPlanes)} } tcp dport { ${toString ports.postgres}, ${toString ports.patroni} } accept
      '';
    })
  ];
}
