# Health-gated activation: a new generation has to pass the host's own checks, or the host goes back to the last one
# that did. Every check is about this host alone: a control plane that is gone takes no worker back with it.
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
  cfg = top.healthGate;

  line = types.strMatching "[^\n]+";

  check = types.submodule {
    options = {
      enable = mkOption {
        type = types.bool;
        default = true;
        description = "Whether the check counts.";
      };
      units = mkOption {
        type = types.listOf line;
        default = [ ];
        example = [ "postgresql.service" ];
        description = "Units that have to be active, and stay so without crashing.";
      };
      interfaces = mkOption {
        type = types.listOf line;
        default = [ ];
        example = [ "wh0" ];
        description = "Network interfaces that have to be up and have an IPv4 address.";
      };
      urls = mkOption {
        type = types.listOf line;
        default = [ ];
        example = [ "http://{mesh}:8090/health" ];
        description = "HTTP addresses that have to answer with success within 5 seconds. `{mesh}` is the host's mesh address.";
      };
      command = mkOption {
        type = types.nullOr (types.nonEmptyListOf line);
        default = null;
        example = lib.literalExpression ''[ (lib.getExe' pkgs.dig "dig") "+short" "example.com" ]'';
        description = "Program and arguments that have to end with exit code 0 within 10 seconds. It is run again and again, by root in a sandbox: it reads everything but homes, and writes nothing.";
      };
    };
  };

  linesOf =
    name: entry:
    map (unit: "unit ${name} ${unit}") entry.units
    ++ map (interface: "interface ${name} ${interface}") entry.interfaces
    ++ map (url: "url ${name} ${url}") entry.urls
    ++ lib.optional (entry.command != null) "command ${name} ${lib.escapeShellArgs entry.command}";

  enabled = lib.filterAttrs (_: entry: entry.enable) cfg.checks;
  checks = pkgs.writeText "wisehosting-health-checks" (
    lib.concatMapStrings (text: text + "\n") (lib.concatLists (lib.mapAttrsToList linesOf enabled))
  );

  program = pkgs.writeShellApplication {
    name = "wisehosting-health-gate";
    runtimeInputs = [
      config.systemd.package
      pkgs.coreutils
      pkgs.curl
      pkgs.gawk
      pkgs.gnused
      pkgs.iproute2
      pkgs.jq
      pkgs.util-linux
    ]
    # Without Nix on the host there is no system profile to set back either.
    ++ lib.optional config.nix.enable config.nix.package;
    text = ''
      timeout=${toString cfg.timeout}
      settle=${toString cfg.settle}
      interface=${lib.escapeShellArg top.mesh.settings.interface or "wh0"}
      checks=${checks}
    ''
    + builtins.readFile ./health-gate.sh;
  };
in
{
  options.services.wisehosting.healthGate = {
    enable = mkEnableOption "the health gate: a generation whose checks fail is left again for the last good one";
    timeout = mkOption {
      type = types.ints.positive;
      default = 120;
      description = "Seconds, from the end of a switch or boot, within which all checks have to pass.";
    };
    settle = mkOption {
      type = types.ints.positive;
      default = 20;
      description = "Seconds for which they have to go on passing, without a unit that crashes.";
    };
    checks = mkOption {
      type = types.attrsOf check;
      default = { };
      example = lib.literalExpression ''
        {
          shop.urls = [ "http://127.0.0.1:3000/health" ];
          proxy.enable = false;
        }
      '';
      description = ''
        What has to be well, by a name for the reports. The host's roles bring `mesh`, `control-plane`, `worker` and
        `proxy`. A check must be about the host itself: one that needs another host takes both back when that one is down.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = lib.all (name: builtins.match "[A-Za-z0-9._-]+" name != null) (
          lib.attrNames cfg.checks
        );
        message = "services.wisehosting.healthGate.checks: a name consists of letters, digits, `.`, `_` and `-`.";
      }
      {
        assertion = enabled != { };
        message = "services.wisehosting.healthGate: there is nothing to check; enable a role or add `checks`.";
      }
    ];

    services.wisehosting.healthGate.checks = {
      mesh = lib.mkIf top.mesh.enable {
        units = [ "wisehosting-mesh.service" ];
        interfaces = [ top.mesh.settings.interface ];
      };
      control-plane = lib.mkIf top.controlPlane.enable {
        units = [ "wisehosting-control-plane.service" ];
        # Ready: it answers, and so does its database.
        urls = [ "http://${top.controlPlane.settings.api_server.mesh_listen}/readyz" ];
      };
      worker = lib.mkIf top.worker.enable {
        units = [ "wisehosting-worker.service" ];
        urls = [ "http://{mesh}:${toString top.worker.settings.mesh.port}/health" ];
      };
      proxy = lib.mkIf top.proxy.enable {
        units = [ "wisehosting-proxy.service" ];
        urls = [ "http://{mesh}:${toString top.proxy.settings.mesh_port}/health" ];
      };
    };

    # No hook into the switch is needed: it ends by starting all active targets, and with this one, what it wants and
    # is not running. At that time systemd knows the new units, and the checks are those of the new generation.
    systemd.services.wisehosting-health-gate = {
      description = "Judge this generation, and go back to the last good one when it fails";
      documentation = [ "https://nixos.org/manual/nixos/stable/#sec-rollback" ];
      wantedBy = [ "multi-user.target" ];
      after = [ "multi-user.target" ];
      unitConfig.StartLimitIntervalSec = 0;
      # As root, to ask systemd for the way back, which is a unit of its own; in a sandbox all the same.
      serviceConfig = wh.hardening // {
        # Not oneshot, which the switch would wait for.
        Type = "exec";
        ExecStart = "${lib.getExe program} judge";
        RuntimeDirectory = "wisehosting";
        RuntimeDirectoryPreserve = true;
        # The root of the garbage collector, and the lock of a running switch.
        ReadWritePaths = [
          "/nix/var/nix/gcroots"
          "/run/nixos"
        ];
        # The report is for everybody.
        UMask = "0022";
        # Of interfaces.
        RestrictAddressFamilies = wh.hardening.RestrictAddressFamilies ++ [ "AF_NETLINK" ];
      };
    };
    systemd.tmpfiles.rules = [
      "d /nix/var/nix/gcroots 0755 root root -"
      "d /run/nixos 0755 root root -"
    ];

    environment.systemPackages = [ program ];
  };
}
