# What the modules share: option types, the checked configuration file, the sandbox. No options, no config.
{ lib, pkgs }:
let
  inherit (lib) types mkOption;

  # An absolute path outside the store, so that a secret written as `./secret` is an error at evaluation
  # and not a copy that every user of the host can read.
  secretPath =
    types.addCheck types.str (path: lib.hasPrefix "/" path && !lib.hasPrefix builtins.storeDir path)
    // {
      name = "secretPath";
      description = "absolute path outside the Nix store, as a string";
    };

  # The parts of `203.0.113.1:80`, `[::]:80` and `:80`, behind which Traefik may have `/tcp` or `/udp`.
  listenOf =
    address:
    let
      parts = builtins.match "(.*):([0-9]+)(/(tcp|udp))?" (lib.toLower address);
      part = lib.elemAt parts;
    in
    if parts == null then
      throw "services.wisehosting: nothing can listen on `${address}`: write `HOST:PORT` or `:PORT`, for Traefik with `/udp` behind it where that is meant."
    else
      {
        host = part 0;
        port = lib.toInt (part 1);
        protocol = if part 3 == null then "tcp" else part 3;
      };
in
{
  inherit secretPath listenOf;

  portOf = address: (listenOf address).port;

  mkSecret =
    { description, example }:
    mkOption {
      type = types.nullOr secretPath;
      default = null;
      inherit example;
      description = ''
        ${description}

        A path, never the value: systemd hands the file to the service as a credential, so it may stay
        `0400 root:root`. Restart the service after the content changed.
      '';
    };

  # Any setting may be given; `options` has those that are typed and described here. Null is left out of the file.
  mkSettings =
    {
      description,
      example,
      options ? { },
    }:
    mkOption {
      type = types.submodule {
        freeformType = (pkgs.formats.json { }).type;
        inherit options;
      };
      default = { };
      inherit example description;
    };

  # One that has a default of the program's own, which stays the program's.
  mkSetting =
    {
      type,
      default,
      description,
    }:
    mkOption {
      type = types.nullOr type;
      default = null;
      defaultText = lib.literalMD "`${default}`, the program's own";
      inherit description;
    };

  mkConfigFile =
    program:
    mkOption {
      type = types.path;
      readOnly = true;
      defaultText = lib.literalMD "generated from `settings`";
      description = "The configuration file of `${program}`, for other modules and for the command line.";
    };

  # Each entry point of a Traefik finds its socket by its name: Traefik needs no right to open low ports, an address need
  # not be there yet, and while it restarts no connection is refused.
  entryPointSockets =
    unit:
    lib.mapAttrs' (
      name: entryPoint:
      let
        inherit (listenOf entryPoint.address) host port protocol;
        listen = if protocol == "udp" then "ListenDatagram" else "ListenStream";
      in
      lib.nameValuePair "${unit}-${name}" {
        description = "Traefik's entry point ${name}";
        wantedBy = [ "sockets.target" ];
        socketConfig = {
          ${listen} = lib.optionalString (host != "") "${host}:" + toString port;
          FileDescriptorName = name;
          Service = "${unit}.service";
          Backlog = 4096;
          FreeBind = true;
        };
      }
    );

  # JSON from Nix, read by the program itself at build time: a setting that it would refuse stops the build of the
  # system, not the service. A host of another architecture cannot run the program here; its service still checks.
  checkedConfig =
    {
      package,
      program,
      settings,
    }:
    let
      name = "${program}.json";
      given = lib.filterAttrsRecursive (_: value: value != null) settings;
      file = pkgs.writeText name (builtins.toJSON given);
      runs = pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform;
    in
    if runs then
      pkgs.runCommand name { } ''
        install -m 0444 ${file} ./${name}
        ${lib.getExe' package program} check-config --config ./${name}
        cp ${file} $out
      ''
    else
      file;

  # The sandbox that every service starts from; each takes back, with a reason, what it cannot do without.
  hardening = {
    CapabilityBoundingSet = [ "" ];
    DevicePolicy = "closed";
    LockPersonality = true;
    MemoryDenyWriteExecute = true;
    NoNewPrivileges = true;
    PrivateDevices = true;
    PrivateTmp = true;
    PrivateUsers = true;
    ProcSubset = "pid";
    ProtectClock = true;
    ProtectControlGroups = true;
    ProtectHome = true;
    ProtectHostname = true;
    ProtectKernelLogs = true;
    ProtectKernelModules = true;
    ProtectKernelTunables = true;
    ProtectProc = "invisible";
    ProtectSystem = "strict";
    RemoveIPC = true;
    RestrictAddressFamilies = [
      "AF_INET"
      "AF_INET6"
      "AF_UNIX"
    ];
    RestrictNamespaces = true;
    RestrictRealtime = true;
    RestrictSUIDSGID = true;
    SystemCallArchitectures = "native";
    SystemCallFilter = [
      "@system-service"
      "~@privileged @resources"
    ];
    UMask = "0077";
  };

  # How every service of ours is kept running. Exit code 78 is a configuration that cannot be used: starting again
  # does not help.
  kept = {
    Type = "notify";
    Restart = "on-failure";
    RestartSec = "5s";
    RestartPreventExitStatus = 78;
    LimitNOFILE = 65535;
  };

  loadCredentials =
    secrets:
    lib.mapAttrsToList (name: path: "${name}:${path}") (
      lib.filterAttrs (_: path: path != null) secrets
    );
}
