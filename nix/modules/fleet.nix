# The inventory: every host of the private cloud, written once. All hosts set the same value; each finds itself by its
# host name, and peers, firewall, node list and deploy target follow from the rest.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.wisehosting;
  inherit (cfg) fleet;
  name = config.networking.hostName;

  roles = [
    "control-plane"
    "worker"
    "proxy"
  ];

  host = types.submodule {
    options = {
      roles = mkOption {
        type = types.listOf (types.enum roles);
        example = [ "worker" ];
        description = "What the host does. A single server has all three; a member of the database cluster may have none.";
      };
      system = mkOption {
        type = types.enum [
          "x86_64-linux"
          "aarch64-linux"
        ];
        default = "x86_64-linux";
        description = "Architecture of the host.";
      };
      address = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "203.0.113.11";
        description = "Public IPv4 address, where other hosts dial the tunnel. Null for a host behind NAT: it dials the others.";
      };
      meshAddress = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "10.50.0.11";
        description = "Address on the mesh. Needed for a host with a `publicKey`; a host that joins by token is given one.";
      };
      publicKey = mkOption {
        type = types.nullOr (types.strMatching "[A-Za-z0-9+/]{43}=");
        default = null;
        example = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
        description = ''
          WireGuard public key, as in `/var/lib/wisehosting/mesh/public.key` of the host; `wh fleet pin` prints all of
          them. A pinned host needs no token, and no other key can take its name. Null: the host joins by token.
        '';
      };
      labels = mkOption {
        type = types.attrsOf types.str;
        default = { };
        example.disk = "nvme";
        description = "Labels of the node, for people and for placement.";
      };
      zone = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "de.example.com";
        description = "DNS suffix whose names point at this worker itself, not at the proxies.";
      };
      database = mkOption {
        type = types.bool;
        default = false;
        description = "Whether the host is a member of the Postgres cluster (`services.wisehosting.database.cluster`).";
      };
      deployTo = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "root@10.50.0.11";
        description = "Where `nix run .#deploy` sends the host's system. Null: `root@` and the public address, or the mesh address.";
      };
    };
  };

  fleetType = types.submodule {
    options = {
      url = mkOption {
        type = types.strMatching "https?://[^/]+";
        example = "https://cp.example.com";
        description = "What people and joining hosts call the control plane.";
      };
      zone = mkOption {
        type = types.str;
        example = "route.example.com";
        description = "DNS suffix of the apps: each is served at `<name>.<zone>`. A wildcard record points at the proxies.";
      };
      mesh = {
        cidr = mkOption {
          type = types.strMatching "[0-9.]+/[0-9]+";
          default = "10.50.0.0/24";
          description = "Addresses of the mesh, from /16 to /30.";
        };
        port = mkOption {
          type = types.port;
          default = 51821;
          description = "UDP port of the tunnel on every host.";
        };
        interface = mkOption {
          type = types.strMatching "[a-z][a-z0-9-]{0,14}";
          default = "wh0";
          description = "Name of the tunnel's interface.";
        };
      };
      monitoring = mkOption {
        type = types.bool;
        default = false;
        description = "Whether every host runs the node exporter on the mesh, and the control plane's host Prometheus.";
      };
      hosts = mkOption {
        type = types.attrsOf host;
        example.control-plane = {
          roles = [ "control-plane" ];
          address = "203.0.113.10";
          meshAddress = "10.50.0.1";
        };
        description = "Every host by its host name.";
      };
    };
  };

  is = role: entry: lib.elem role entry.roles;
  pinned = lib.filterAttrs (_: entry: entry.publicKey != null) fleet.hosts;
  controlPlanes = lib.filterAttrs (_: is "control-plane") fleet.hosts;
  proxies = lib.filterAttrs (_: is "proxy") fleet.hosts;
  # Needs no token to join: pinned, or the control plane's own host.
  known = entry: entry.publicKey != null || is "control-plane" entry;
  idle = lib.filterAttrs (_: entry: entry.roles == [ ] && !entry.database) fleet.hosts;
  others = lib.filterAttrs (other: _: other != name) pinned;
  endpoint =
    entry:
    lib.optionalAttrs (entry.address != null) {
      endpoint = "${entry.address}:${toString fleet.mesh.port}";
    };
  prefix = lib.last (lib.splitString "/" fleet.mesh.cidr);

  # A control plane is its own authority; any other host is declared when both ends know each other's key.
  declared =
    is "control-plane" cfg.self
    || (
      cfg.self.publicKey != null
      && lib.all (entry: entry.publicKey != null) (lib.attrValues controlPlanes)
    );

  peer =
    other: entry:
    {
      name = other;
      public_key = entry.publicKey;
      mesh_address = entry.meshAddress;
    }
    // endpoint entry;

  # What people said about a host, for the control plane to keep.
  about =
    entry:
    lib.optionalAttrs (entry.labels != { }) { inherit (entry) labels; }
    // lib.optionalAttrs (entry.zone != null) { inherit (entry) zone; };

  node = other: entry: peer other entry // about entry // { inherit (entry) roles; };

  addresses = lib.filter (address: address != null) (
    lib.mapAttrsToList (_: entry: entry.meshAddress) fleet.hosts
  );
  keys = lib.mapAttrsToList (_: entry: entry.publicKey) pinned;
  repeated = list: lib.unique (lib.filter (item: lib.count (other: other == item) list > 1) list);
  names = lib.concatStringsSep ", ";
in
{
  options.services.wisehosting = {
    fleet = mkOption {
      type = types.nullOr fleetType;
      default = null;
      example = lib.literalExpression "import ./hosts/fleet.nix";
      description = ''
        The inventory of the whole private cloud, the same value on every host. The entry under this host's
        `networking.hostName` switches its roles on.
      '';
    };
    self = mkOption {
      type = types.nullOr types.raw;
      readOnly = true;
      internal = true;
      default =
        if fleet == null then
          null
        else
          fleet.hosts.${name} or (throw ''
            services.wisehosting.fleet has no host `${name}` (networking.hostName). It knows: ${names (lib.attrNames fleet.hosts)}.
          '');
      description = "This host's own entry.";
    };
  };

  config = lib.mkIf (fleet != null) {
    assertions = [
      {
        assertion = lib.length (lib.attrNames controlPlanes) == 1;
        message = "services.wisehosting.fleet.hosts: exactly one host has the role `control-plane`; found ${toString (lib.length (lib.attrNames controlPlanes))} (${names (lib.attrNames controlPlanes)}).";
      }
      {
        assertion = lib.all (entry: entry.address != null && entry.meshAddress != null) (
          lib.attrValues controlPlanes
        );
        message = "services.wisehosting.fleet.hosts.${names (lib.attrNames controlPlanes)}: the control plane needs `address` and `meshAddress`: every host dials it.";
      }
      {
        assertion = idle == { };
        message = "services.wisehosting.fleet.hosts.${names (lib.attrNames idle)}: a host needs a role (control-plane, worker, proxy) or `database = true`.";
      }
      {
        assertion = repeated addresses == [ ];
        message = "services.wisehosting.fleet.hosts: the mesh address ${names (repeated addresses)} belongs to more than one host.";
      }
      {
        assertion = repeated keys == [ ];
        message = "services.wisehosting.fleet.hosts: the public key ${names (repeated keys)} belongs to more than one host. Each host makes its own: copy it from /var/lib/wisehosting/mesh/public.key.";
      }
      {
        assertion = lib.all (entry: entry.meshAddress != null) (lib.attrValues pinned);
        message = "services.wisehosting.fleet.hosts: a host with a `publicKey` needs its `meshAddress`; missing on ${
          names (lib.attrNames (lib.filterAttrs (_: entry: entry.meshAddress == null) pinned))
        }. `wh fleet pin` prints both.";
      }
    ];

    warnings =
      lib.optional
        (
          cfg.controlPlane.enable && cfg.controlPlane.behindProxies && !lib.any known (lib.attrValues proxies)
        )
        "services.wisehosting.fleet.hosts: no proxy has a `publicKey`, and the first one cannot join through itself. Boot it, then copy its key from /var/lib/wisehosting/mesh/public.key and choose a `meshAddress`.";

    services.wisehosting = {
      controlPlane.enable = lib.mkDefault (is "control-plane" cfg.self);
      controlPlane.behindProxies = lib.mkDefault (
        proxies != { }
        && lib.match "https://[^/:]*[a-z][^/:]*" fleet.url != null
        && cfg.controlPlane.settings ? acme
      );
      worker.enable = lib.mkDefault (is "worker" cfg.self);
      # Unless Traefik does. The control plane has that port on its own host.
      worker.settings =
        lib.mkIf
          (
            cfg.self.zone != null
            && is "worker" cfg.self
            && !is "control-plane" cfg.self
            && !cfg.worker.traefik.enable
          )
          {
            ingress = lib.mkDefault "0.0.0.0:8080";
          };
      proxy.enable = lib.mkDefault (is "proxy" cfg.self);

      mesh = {
        enable = lib.mkDefault true;
        settings = {
          inherit (fleet.mesh) port interface;
          node = lib.mapAttrs (_: lib.mkDefault) (
            {
              inherit name;
              inherit (cfg.self) roles;
            }
            // endpoint cfg.self
            # A declared host's are in the control plane's list.
            // lib.optionalAttrs (!declared) (about cfg.self)
          );
        }
        // (
          if declared then
            {
              declared = {
                address = lib.mkDefault "${toString cfg.self.meshAddress}/${prefix}";
                control_planes = lib.mkDefault (
                  lib.mapAttrsToList (_: entry: "http://${toString entry.meshAddress}:8081") controlPlanes
                );
                peers = lib.mkDefault (lib.mapAttrsToList peer others);
              };
            }
          else
            { control_plane.url = lib.mkDefault fleet.url; }
        );
      };

      controlPlane.settings = lib.mkIf (is "control-plane" cfg.self) {
        api_server = {
          base_url = lib.mkDefault fleet.url;
          mesh_listen = lib.mkDefault "${toString cfg.self.meshAddress}:8081";
        };
        mesh = lib.mapAttrs (_: lib.mkDefault) (about cfg.self) // {
          address = lib.mkDefault cfg.self.meshAddress;
          endpoint = lib.mkDefault (endpoint cfg.self).endpoint;
          name = lib.mkDefault name;
          roles = lib.mkDefault (lib.remove "control-plane" cfg.self.roles);
        };
        proxy.subdomain_base = lib.mkDefault fleet.zone;
        nodes = lib.mkDefault (lib.mapAttrsToList node others);
      };
    };
  };
}
