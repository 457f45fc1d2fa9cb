# OCI images of the two parts that need no root: for a control plane or a proxy on a machine that is not NixOS. The mesh
# agent stays on the host, whose network they share. No user but 65532, no shell, and no secret: those are mounted at
# /run/secrets, one file for each credential.
#
#   $(nix build --print-out-paths .#oci-control-plane) | podman load
{ lib, pkgs }:
let
  inherit (pkgs.wisehosting) version;

  image =
    {
      part,
      title,
      command,
      ports,
    }:
    pkgs.dockerTools.streamLayeredImage {
      name = "wisehosting-${part}";
      tag = version;
      contents = [ pkgs.dockerTools.caCertificates ];
      extraCommands = ''
        mkdir -p var/lib/wisehosting/${part} run/secrets etc/wisehosting
        mkdir -m 1777 tmp
      '';
      fakeRootCommands = ''
        chown 65532:65532 var/lib/wisehosting/${part}
        chmod 0700 var/lib/wisehosting/${part}
      '';
      config = {
        Entrypoint = [ "${lib.getExe' pkgs.wisehosting "wisehosting-${part}"}" ];
        Cmd = [
          command
          "--config"
          "/etc/wisehosting/${part}.toml"
        ];
        User = "65532:65532";
        Env = [ "CREDENTIALS_DIRECTORY=/run/secrets" ];
        ExposedPorts = lib.genAttrs (map (port: "${toString port}/tcp") ports) (_: { });
        Volumes."/var/lib/wisehosting/${part}" = { };
        Labels = {
          "org.opencontainers.image.title" = title;
          "org.opencontainers.image.description" = pkgs.wisehosting.meta.description;
          "org.opencontainers.image.version" = version;
          "org.opencontainers.image.licenses" = pkgs.wisehosting.meta.license.spdxId;
        };
      };
    };
in
{
  oci-control-plane = image {
    part = "control-plane";
    title = "WiseHosting control plane";
    command = "serve";
    ports = [
      8080
      8081
    ];
  };
  oci-proxy = image {
    part = "proxy";
    title = "WiseHosting proxy";
    command = "run";
    ports = [
      80
      443
      8091
    ];
  };
}
