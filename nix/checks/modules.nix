# What the modules promise, checked by evaluation alone: a list of facts, each with whether it holds.
{ pkgs, self }:
let
  inherit (pkgs) lib;

  # A host that could boot, and nothing more.
  base = {
    nixpkgs.hostPlatform = "x86_64-linux";
    boot.isContainer = true;
    system.stateVersion = "24.05";
    networking.hostName = "host";
  };
  inherit (self.inputs.nixpkgs.lib) nixosSystem;
  system = modules: (nixosSystem { modules = [ base ] ++ modules; }).config;
  host =
    module:
    system [
      self.nixosModules.default
      module
    ];
  toplevel = config: config.system.build.toplevel.drvPath;

  failures =
    module: map (entry: entry.message) (lib.filter (entry: !entry.assertion) (host module).assertions);
  complains = word: module: lib.any (lib.hasInfix word) (failures module);
  evaluates = value: (builtins.tryEval (builtins.deepSeq value true)).success;

  key = digit: "${lib.concatStrings (lib.genList (_: digit) 43)}=";
  fleet = {
    url = "https://cp.example.com";
    zone = "route.example.com";
    hosts = {
      host = {
        roles = [ "control-plane" ];
        address = "203.0.113.1";
        meshAddress = "10.50.0.1";
        publicKey = key "A";
      };
      other = {
        roles = [ "worker" ];
        meshAddress = "10.50.0.2";
        publicKey = key "B";
      };
    };
  };
  fleetWith = change: { services.wisehosting.fleet = lib.recursiveUpdate fleet { hosts = change; }; };
  as = name: change: {
    imports = [ (fleetWith change) ];
    networking.hostName = lib.mkForce name;
  };
  alone = option: {
    services.wisehosting = lib.mkMerge [
      { ${option}.enable = true; }
      {
        mesh.enable = true;
        mesh.settings.control_plane.url = "https://cp.example.com";
      }
    ];
  };

  settings = module: (host module).services.wisehosting.mesh.settings;

  proxy = {
    roles = [ "proxy" ];
    meshAddress = "10.50.0.3";
    publicKey = key "C";
  };
  withAcme = change: {
    imports = [ (fleetWith change) ];
    services.wisehosting.controlPlane.settings.acme.directory = "https://ca.example.com/dir";
  };
  servers = module: (host module).services.wisehosting.controlPlane.settings.api_server;

  # Three more hosts, which keep the database; each may be changed.
  clustered =
    name: change:
    let
      member = number: {
        roles = [ ];
        database = true;
        address = "203.0.113.4${toString number}";
        meshAddress = "10.50.0.4${toString number}";
        publicKey = key (toString number);
      };
    in
    {
      imports = [
        (as name (
          lib.recursiveUpdate {
            db1 = member 1;
            db2 = member 2;
            db3 = member 3;
          } change
        ))
      ];
      services.wisehosting.database.cluster = {
        passwordFile = "/run/secrets/database";
        replicationPasswordFile = "/run/secrets/replication";
      };
    };
  database = value: {
    imports = [ (fleetWith { }) ];
    services.wisehosting.controlPlane.database = value;
  };
in
{
  "importing the module changes nothing" =
    toplevel (system [ ]) == toplevel (system [ self.nixosModules.default ]);

  "each role works without a fleet" = lib.all (option: failures (alone option) == [ ]) [
    "mesh"
    "worker"
    "proxy"
  ];

  "the package set may be given from outside" = evaluates (
    toplevel
      (nixosSystem {
        modules = [
          (removeAttrs base [ "nixpkgs" ])
          { nixpkgs.pkgs = pkgs; }
          self.nixosModules.default
          (fleetWith { })
        ];
      }).config
  );

  "the package may be the user's own" =
    (host {
      imports = [ (alone "worker") ];
      services.wisehosting.package = pkgs.hello;
    }).services.wisehosting.worker.package == pkgs.hello;

  "the module and a role imported together are one" =
    failures {
      imports = [ self.nixosModules.worker ];
      services.wisehosting.mesh.settings.control_plane.url = "https://cp.example.com";
    } == [ ];

  "a declared host dials the pinned others" =
    map (peer: peer.name) (settings (as "other" { })).declared.peers == [ "host" ];

  "a host without a key joins by token" =
    (settings (as "other" { other.publicKey = null; })).control_plane.url == "https://cp.example.com";

  "a host without a key is not in the control plane's list" =
    (host (fleetWith {
      other.publicKey = null;
    })).services.wisehosting.controlPlane.settings.nodes == [ ];

  "the fleet's proxies serve the dashboard, and nothing else does" =
    let
      api = servers (withAcme {
        inherit proxy;
      });
    in
    api.front_listen == "10.50.0.1:8082" && api.listen == "127.0.0.1:8080";

  "without a proxy, a name or certificates the dashboard serves itself" =
    lib.all (module: !(servers module ? front_listen) && (servers module).listen == "0.0.0.0:8080")
      [
        (withAcme { })
        (fleetWith { inherit proxy; })
        {
          imports = [ (withAcme { inherit proxy; }) ];
          services.wisehosting.fleet.url = lib.mkForce "https://203.0.113.1";
        }
      ];

  "a fleet whose only proxy would join through itself is warned of" =
    let
      warned = change: lib.any (lib.hasInfix "through itself") (host (withAcme change)).warnings;
    in
    warned { proxy.roles = [ "proxy" ]; } && !warned { inherit proxy; };

  "labels and zone reach the control plane, by its list or by the token" =
    let
      words = {
        labels.disk = "nvme";
        zone = "de.example.com";
      };
      of = node: { inherit (node) labels zone; };
    in
    of (
      lib.head
        (host (fleetWith {
          other = words;
        })).services.wisehosting.controlPlane.settings.nodes
    ) == words
    &&
      of
        (settings (
          as "other" {
            other = words // {
              publicKey = null;
            };
          }
        )).node == words;

  "a host is sent where the fleet says" =
    self.lib.deployTargets fleet == {
      host = "root@203.0.113.1";
      other = "root@10.50.0.2";
    };

  "two hosts with one mesh address are refused" = complains "10.50.0.1" (fleetWith {
    other.meshAddress = "10.50.0.1";
  });
  "two hosts with one key are refused" = complains (key "A") (fleetWith {
    other.publicKey = key "A";
  });
  "a pinned host without a mesh address is refused" = complains "`meshAddress`" (fleetWith {
    other.meshAddress = null;
  });
  "a second control plane is refused" = complains "exactly one host" (fleetWith {
    other.roles = [ "control-plane" ];
  });
  "a control plane without an address is refused" = complains "`address`" (fleetWith {
    host.address = null;
  });
  "half of a certificate is refused" = complains "tls" {
    imports = [ (fleetWith { }) ];
    services.wisehosting.controlPlane.tls.key = "/run/key.pem";
  };
  "a secret in the control plane's settings is refused, with the option that takes its file" =
    let
      refused =
        settings: option:
        complains "`${option}`" {
          imports = [ (fleetWith { }) ];
          services.wisehosting.controlPlane = { inherit settings; };
        };
    in
    refused { api_server.secret = "s"; } "secretFile"
    && refused { proxy.token = "s"; } "proxyTokenFile"
    && refused { acme.eab_hmac_key = "s"; } "acmeEabKeyFile";
  "half of an external account binding is refused" =
    let
      bound = controlPlane: {
        imports = [ (withAcme { }) ];
        services.wisehosting = { inherit controlPlane; };
      };
      id.settings.acme.eab_key_id = "kid-1";
      file.acmeEabKeyFile = "/run/secrets/eab";
    in
    complains "`acmeEabKeyFile`" (bound id)
    && complains "`acmeEabKeyFile`" (bound file)
    && failures (bound (id // file)) == [ ];
  "every credential of the programs has an option" =
    let
      names =
        service: module:
        map (credential: lib.head (lib.splitString ":" credential)) (
          lib.toList (host module).systemd.services.${service}.serviceConfig.LoadCredential
        );
      file = "/run/secrets/some";
    in
    names "wisehosting-control-plane" {
      imports = [ (withAcme { }) ];
      services.wisehosting.controlPlane = {
        settings.acme.eab_key_id = "kid-1";
        secretFile = file;
        proxyTokenFile = file;
        acmeEabKeyFile = file;
        database.urlFile = file;
        tls.certificate = file;
        tls.key = file;
      };
    } == [
      "acme_eab_hmac_key"
      "api_server_secret"
      "database_url"
      "proxy_token"
      "tls.crt"
      "tls.key"
    ]
    &&
      names "wisehosting-proxy" {
        imports = [ (alone "proxy") ];
        services.wisehosting.proxy.cacheKeyFile = file;
      } == [ "cache_key" ];

  "what only the built-in engine knows is refused beside Traefik, and Traefik's table beside the built-in one" =
    let
      engine = engine: settings: {
        imports = [ (alone "proxy") ];
        services.wisehosting.proxy = { inherit engine settings; };
      };
    in
    complains "limits, proxy_protocol cannot" (
      engine "traefik" {
        limits.headers = 50;
        proxy_protocol = [ "10.0.0.0/8" ];
      }
    )
    && complains "which also runs it" (engine "builtin" { traefik.dynamic_file = "/t/t.yaml"; })
    && failures (engine "traefik" { drain_s = 15; }) == [ ];
  "the ports of streams are open on a proxy that serves them, and low ones may be opened" =
    let
      proxy =
        change:
        host {
          imports = [ (alone "proxy") ];
          services.wisehosting.proxy = change;
        };
      open = change: (proxy change).networking.firewall.allowedUDPPortRanges;
      rights =
        change: (proxy change).systemd.services.wisehosting-proxy.serviceConfig.AmbientCapabilities or [ ];
      all = {
        from = 30000;
        to = 30999;
      };
    in
    open { } == [ all ]
    &&
      open { streamPorts = "30000-30999, 25"; } == [
        all
        {
          from = 25;
          to = 25;
        }
      ]
    && open { streamPorts = ""; } == [ ]
    && open { openFirewall = false; } == [ ]
    && rights { } == [ ]
    && rights { streamPorts = "25"; } == [ "CAP_NET_BIND_SERVICE" ];
  "the service manager waits as long as a proxy may drain" =
    (host {
      imports = [ (alone "proxy") ];
      services.wisehosting.proxy.settings.drain_s = 120;
    }).systemd.services.wisehosting-proxy.serviceConfig.TimeoutStopSec == 165;

  "a worker with a zone of its own listens for it, and the firewall lets visitors in" =
    let
      listens =
        name: change: module:
        let
          config = host {
            imports = [
              (as name change)
              module
            ];
          };
        in
        {
          ingress = config.services.wisehosting.worker.settings.ingress or null;
          open = lib.elem 8080 config.networking.firewall.allowedTCPPorts;
        };
      zone.other.zone = "de.example.com";
      closed = {
        ingress = null;
        open = false;
      };
    in
    listens "other" zone { } == {
      ingress = "0.0.0.0:8080";
      open = true;
    }
    && listens "other" { } { } == closed
    && listens "other" zone { services.wisehosting.worker.settings.ingress = null; } == closed
    && !(listens "other" zone { services.wisehosting.worker.openFirewall = false; }).open
    &&
      listens "host" {
        host.roles = [
          "control-plane"
          "worker"
        ];
        host.zone = "de.example.com";
      } { } == closed;

  "settings that are not given are left to the program, and typed ones are held to their range" =
    let
      given =
        settings:
        (host {
          imports = [ (fleetWith { }) ];
          services.wisehosting.controlPlane = { inherit settings; };
        }).services.wisehosting.controlPlane.settings;
      refused = settings: !evaluates (given settings);
    in
    (given { node_health.grace_s = 60; }).node_health.grace_s == 60
    && (given { traffic.minutes_kept_h = 26; }).traffic.minutes_kept_h == 26
    && refused { node_health.grace_s = 1; }
    && refused { node_health.check_intervals_s = [ 30 ]; }
    && refused { node_numbers.hours_kept_days = 7; }
    && refused { placement.strategy = "random"; }
    && refused { placement.cpu_overcommit = 0; };

  "root in a container is nobody where that can be, and where it must and cannot nothing is built" =
    let
      worker = change: {
        imports = [
          (alone "worker")
          change
        ];
      };
      must.services.wisehosting.worker.settings.instances.user_namespaces = "require";
      btrfs.virtualisation.containers.storage.settings.storage.driver = "btrfs";
      without.users.users.containers.subUidRanges = lib.mkForce [ ];
      path = change: map lib.getName (host (worker change)).systemd.services.wisehosting-worker.path;
      somebody = {
        users.users.containers.isNormalUser = true;
        users.users.containers.linger = true;
      };
    in
    failures (worker must) == [ ]
    && failures (worker btrfs) == [ ]
    && failures (worker somebody) == [ ]
    && complains "driver is btrfs" {
      imports = [
        (worker must)
        btrfs
      ];
    }
    && complains "subUidRanges" {
      imports = [
        (worker must)
        without
      ];
    }
    && lib.elem "btrfs-progs" (path btrfs)
    && !lib.elem "btrfs-progs" (path { });

  "Traefik answers for a worker's zones in place of the worker, by a token in a file" =
    let
      zone = traefik: {
        imports = [ (as "other" { other.zone = "de.example.com"; }) ];
        services.wisehosting.worker.traefik = {
          enable = true;
        }
        // traefik;
      };
      token.tokenFile = "/run/secrets/token";
      config = host (zone token);
    in
    failures (zone token) == [ ]
    && (config.services.wisehosting.worker.settings.ingress or null) == null
    # Whoever is in that group reads the node's key.
    &&
      lib.intersectLists [ "wisehosting" ] (
        let
          unit = config.systemd.services.wisehosting-worker-traefik.serviceConfig;
          user = config.users.users.${unit.User};
        in
        [
          unit.Group
          user.group
        ]
        ++ user.extraGroups
        ++ lib.toList (unit.SupplementaryGroups or [ ])
      ) == [ ]
    && lib.elem 8080 config.networking.firewall.allowedTCPPorts
    && complains "tokenFile" (zone { })
    && complains "two engines" {
      imports = [ (zone token) ];
      services.wisehosting.worker.settings.ingress = "0.0.0.0:8088";
    };

  "two programs on one port of a host are refused" =
    let
      single = settings: {
        imports = [
          (fleetWith {
            host.roles = [
              "control-plane"
              "worker"
              "proxy"
            ];
          })
        ];
        services.wisehosting = settings;
      };
    in
    failures (single { }) == [ ]
    &&
      failures (single {
        worker.settings.ingress = "0.0.0.0:8088";
      }) == [ ]
    &&
      failures (single {
        proxy.settings.http = "203.0.113.1:80";
        worker.settings.ingress = "203.0.113.2:80";
      }) == [ ]
    && complains "worker.settings.ingress" (single {
      worker.settings.ingress = "0.0.0.0:8080";
    })
    && complains "8080" (single {
      worker.settings.ingress = "[::]:8080";
    })
    && complains "entryPoints.web" (single {
      proxy.engine = "traefik";
      worker.settings.ingress = "0.0.0.0:80";
    })
    && complains "entryPoints.game" (single {
      proxy.engine = "traefik";
      proxy.traefik.settings.entryPoints = {
        dns.address = "203.0.113.1:53/udp";
        game.address = ":53/udp";
      };
    })
    &&
      failures (single {
        proxy.engine = "traefik";
        proxy.traefik.settings.entryPoints.game.address = ":8080/udp";
      }) == [ ];

  "Traefik's entry points may be written in each form that it takes, and systemd listens for them" =
    let
      entryPoints = {
        web.address = ":80/tcp";
        websecure.address = "[::]:443";
        traefik.address = "127.0.0.1:8079/tcp";
        dns.address = "203.0.113.1:53/udp";
        game.address = ":27015/UDP";
      };
      module = {
        imports = [ (alone "proxy") ];
        services.wisehosting.proxy = {
          engine = "traefik";
          traefik.settings = { inherit entryPoints; };
        };
      };
      config = host module;
      listens =
        name:
        let
          socket = config.systemd.sockets."wisehosting-traefik-${name}".socketConfig;
        in
        [
          (socket.ListenStream or null)
          (socket.ListenDatagram or null)
        ];
      opened = config.networking.firewall.allowedTCPPorts;
    in
    failures module == [ ]
    &&
      map listens [
        "web"
        "websecure"
        "dns"
        "game"
      ] == [
        [
          "80"
          null
        ]
        [
          "[::]:443"
          null
        ]
        [
          null
          "203.0.113.1:53"
        ]
        [
          null
          "27015"
        ]
      ]
    && lib.elem 80 opened
    && lib.elem 443 opened
    && config.services.wisehosting.proxy.settings.traefik.api == "http://127.0.0.1:8079"
    && !evaluates (
      toplevel (host {
        imports = [ module ];
        services.wisehosting.proxy.traefik.settings.entryPoints.quic.address = ":443/quic";
      })
    );

  "a firewall that flushes the containers' rules is refused" = complains "flushRuleset" {
    imports = [ (alone "worker") ];
    networking.nftables.flushRuleset = true;
  };

  "a worker has numbers for the users of containers, and tools for the limits of their networks" =
    let
      config = host (alone "worker");
      inherit (config.users.users) containers;
      total = ranges: lib.foldl' (sum: range: sum + range.count) 0 ranges;
      names = map lib.getName config.systemd.services.wisehosting-worker.path;
    in
    containers.isSystemUser
    && total containers.subUidRanges >= 64 * 65536
    && total containers.subGidRanges >= 64 * 65536
    && lib.all (tool: lib.any (lib.hasPrefix tool) names) [
      "iproute2"
      "util-linux"
    ];

  "a host that the fleet does not know is an error" =
    !evaluates (toplevel (host (as "stranger" { })));
  "a secret in the store is an error" =
    let
      withToken =
        path:
        (host { services.wisehosting.mesh.joinTokenFile = path; }).services.wisehosting.mesh.joinTokenFile;
    in
    evaluates (withToken "/run/secrets/token")
    && !evaluates (withToken ./modules.nix)
    && !evaluates (withToken "${./modules.nix}")
    && !evaluates (withToken "secrets/token");

  "docs/nixos/options.md is what scripts/options-doc writes" =
    builtins.readFile ../../docs/nixos/options.md == self.lib.optionsDoc;

  "the control plane has a database of its own unless it is told of another" =
    let
      local = value: (host (database value)).services.postgresql.enable;
    in
    local { }
    && !local { urlFile = "/run/secrets/url"; }
    && !local { url = "postgres://wisehosting@db.example.com/wisehosting"; }
    && !(host (clustered "host" { })).services.postgresql.enable;
  "a password in the database's URL is refused, wherever it is written" =
    let
      refused =
        url:
        complains "`passwordFile`" (database {
          inherit url;
        });
    in
    refused "postgres://wisehosting:secret@db.example.com/wisehosting"
    && refused "postgres://wisehosting@db.example.com/wisehosting?sslmode=require&password=secret"
    && complains "`passwordFile`" {
      imports = [ (fleetWith { }) ];
      services.wisehosting.controlPlane.settings.database.url =
        "postgres://wisehosting:secret@db.example.com/wisehosting";
    };
  "two databases are refused" = complains "`createLocally = false`" (database {
    createLocally = true;
    url = "postgres://wisehosting@db.example.com/wisehosting";
  });
  "the control plane of a cluster comes to the leader by loopback" =
    lib.hasPrefix "postgres://wisehosting@127.0.0.1:6432/"
      (host (clustered "host" { })).services.wisehosting.controlPlane.settings.database.url;
  "a member of the cluster listens on the mesh alone" =
    let
      inherit (host (clustered "db1" { })) services;
    in
    services.patroni.settings.postgresql.listen == "10.50.0.41:5432"
    && services.patroni.settings.restapi.listen == "10.50.0.41:8008"
    &&
      services.etcd.listenClientUrls ++ services.etcd.listenPeerUrls == [
        "http://10.50.0.41:2379"
        "http://10.50.0.41:2380"
      ];
  "a cluster and the hosts around it have no complaints" =
    lib.all (name: failures (clustered name { }) == [ ])
      [
        "host"
        "db1"
      ];
  "an even number of members is refused" = complains "odd number" (
    clustered "host" {
      db3.database = false;
      db3.roles = [ "proxy" ];
    }
  );
  "a member that nobody could reach without a control plane is refused" =
    complains "db2 lacks `publicKey`" (clustered "db1" { db2.publicKey = null; })
    && complains "db2 lacks `address`" (clustered "db1" { db2.address = null; });
  "a member without passwords is refused" = complains "`replicationPasswordFile`" {
    imports = [ (clustered "db1" { }) ];
    services.wisehosting.database.cluster.replicationPasswordFile = lib.mkForce null;
  };
  "a host without anything to do is refused" = complains "needs a role" (fleetWith {
    other.roles = [ ];
  });
}
