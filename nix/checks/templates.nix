# Every host of every template evaluates to a system. The inputs that a fleet chooses for itself are not inputs of this
# flake: here they are as much of a module as the templates need to be evaluated.
{ pkgs, self }:
let
  inherit (pkgs) lib;
  anything = lib.mkOption {
    type = lib.types.attrsOf lib.types.anything;
    default = { };
    description = "Whatever the real module takes.";
  };
  disko = {
    options.disko.devices = anything;
    # What disko makes of the layout.
    config = {
      boot.loader.grub.devices = [ "/dev/disk/by-id/main" ];
      fileSystems."/" = {
        device = "/dev/disk/by-partlabel/disk-main-root";
        fsType = "ext4";
      };
    };
  };
  sops = {
    options.sops = {
      defaultSopsFile = lib.mkOption {
        type = lib.types.path;
        description = "As of sops-nix.";
      };
      age = anything;
      secrets = lib.mkOption {
        description = "As of sops-nix.";
        default = { };
        type = lib.types.attrsOf (
          lib.types.submodule (
            { name, ... }:
            {
              freeformType = lib.types.attrsOf lib.types.anything;
              options.path = lib.mkOption {
                type = lib.types.str;
                default = "/run/secrets/${name}";
                description = "As of sops-nix.";
              };
            }
          )
        );
      };
    };
  };

  hostsOf =
    template:
    (import (template.path + "/flake.nix")).outputs {
      self = { };
      wisehosting = self;
      disko.nixosModules.disko = disko;
      sops-nix.nixosModules.sops = sops;
    };
  # Also with the secrets, whose encrypted file a new fleet does not have yet.
  withSecrets =
    template: host:
    let
      secrets = template.path + "/hosts/${host.config.networking.hostName}/secrets.nix";
    in
    lib.optional (builtins.pathExists secrets) (host.extendModules { modules = [ secrets ]; });

  hosts = lib.concatMap (
    template:
    lib.concatMap (host: [ host ] ++ withSecrets template host) (
      lib.attrValues (hostsOf template).nixosConfigurations
    )
  ) (lib.attrValues (removeAttrs self.templates [ "default" ]));

  # Evaluated, and not built.
  drvs = map (
    host: builtins.unsafeDiscardStringContext host.config.system.build.toplevel.drvPath
  ) hosts;
in
pkgs.runCommand "templates-evaluate" { inherit drvs; } ''
  printf '%s\n' $drvs > $out
''
