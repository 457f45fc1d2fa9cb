# One port, one program: where all roles share a host, two that want the same one would fail at run time, or worse, one of
# them would wait for it for ever.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  wh = import ./lib.nix { inherit lib pkgs; };
  cfg = config.services.wisehosting;
  # A host that joins by token is told its address later; it is one of its own in any case.
  address = if cfg.self == null then null else cfg.self.meshAddress;
  mesh = port: "${if address == null then "mesh" else address}:${toString port}";

  named = prefix: lib.mapAttrs' (name: lib.nameValuePair "${prefix}.${name}");
  controlPlane = named "controlPlane.settings.api_server" (
    lib.filterAttrs (name: _: lib.hasSuffix "listen" name) cfg.controlPlane.settings.api_server
  );
  entryPoints =
    { settings, ... }: lib.mapAttrs (_: entryPoint: entryPoint.address) settings.entryPoints;
  worker = {
    "worker.settings.ingress" = cfg.worker.settings.ingress or null;
    "worker.settings.mesh.port" = mesh cfg.worker.settings.mesh.port;
  }
  // lib.optionalAttrs cfg.worker.traefik.enable (
    named "worker.traefik.settings.entryPoints" (entryPoints cfg.worker.traefik)
  );
  proxy = {
    "proxy.settings.mesh_port" = mesh cfg.proxy.settings.mesh_port;
  }
  // (
    if cfg.proxy.engine == "traefik" then
      {
        "proxy.settings.http" = cfg.proxy.settings.http or "127.0.0.1:8078";
      }
      // named "proxy.traefik.settings.entryPoints" (entryPoints cfg.proxy.traefik)
    else
      {
        "proxy.settings.http" = cfg.proxy.settings.http;
        "proxy.settings.https" = cfg.proxy.settings.https;
      }
  );

  listeners =
    lib.mapAttrsToList (option: address: { inherit option address; } // wh.listenOf address)
      (
        lib.filterAttrs (_: address: address != null) (
          lib.optionalAttrs cfg.controlPlane.enable controlPlane
          // lib.optionalAttrs cfg.worker.enable worker
          // lib.optionalAttrs cfg.proxy.enable proxy
        )
      );

  everywhere =
    listener:
    lib.elem listener.host [
      ""
      "0.0.0.0"
      "[::]"
    ];
  meet =
    one: other:
    one.option < other.option
    && one.port == other.port
    && one.protocol == other.protocol
    && (everywhere one || everywhere other || one.host == other.host);
  met = lib.concatMap (
    one:
    map (other: [
      one
      other
    ]) (lib.filter (meet one) listeners)
  ) listeners;
  tell = pair: lib.concatMapStringsSep " and " (entry: "`${entry.option}` (${entry.address})") pair;
in
{
  config.assertions = lib.mkIf (cfg.controlPlane.enable || cfg.worker.enable || cfg.proxy.enable) [
    {
      assertion = met == [ ];
      message = "services.wisehosting: only one program can listen on a port of this host. Choose another for one of ${
        lib.concatMapStringsSep "; " tell met
      }.";
    }
  ];
}
