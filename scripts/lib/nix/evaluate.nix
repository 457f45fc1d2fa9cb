# What `scripts/test nix` evaluates: the flake's outputs, called directly. Nothing is copied to the store, no lock file
# or network is needed, and an old Nix is enough.
{
  project,
  nixpkgs,
  system ? "x86_64-linux",
}:
let
  flake =
    path: inputs:
    let
      self = (import (path + "/flake.nix")).outputs (inputs // { inherit self; }) // {
        inherit inputs;
        outPath = path;
        _type = "flake";
      };
    in
    self;
  packages = flake nixpkgs { };
  self = flake project { nixpkgs = packages; };
  inherit (packages) lib;

  text = builtins.unsafeDiscardStringContext;
  drvPath = value: text value.drvPath;
  ours = name: builtins.match "(wisehosting|traefik|postgresql|patroni|podman).*" name != null;

  host = _: host: {
    toplevel = drvPath host.config.system.build.toplevel;
    assertions = map (entry: entry.message) (
      lib.filter (entry: !entry.assertion) host.config.assertions
    );
    inherit (host.config) warnings;
    units = lib.mapAttrs (_: unit: text unit.text) (
      lib.filterAttrs (name: unit: unit.enable && ours name) host.config.systemd.units
    );
    credentials = lib.concatLists (
      lib.mapAttrsToList (
        unit: service:
        map (credential: "${unit}: ${text credential}") (
          lib.toList (service.serviceConfig.LoadCredential or [ ])
          ++ lib.toList (service.serviceConfig.LoadCredentialEncrypted or [ ])
        )
      ) host.config.systemd.services
    );
  };

  options =
    let
      any = lib.head (lib.attrValues self.nixosConfigurations);
      documented = option: !option.internal && option.visible == true;
    in
    map (option: {
      inherit (option) name;
      described = (option.description or "") != "";
      exemplified = option ? default || option ? example || option.readOnly or false;
    }) (lib.filter documented (lib.optionAttrSetToDocList any.options.services.wisehosting));

  checks = self.checks.${system};
  isTest = name: lib.hasPrefix "vm-" name || lib.hasPrefix "container-" name;
  tests = lib.filterAttrs (name: _: isTest name) checks;
  others = lib.filterAttrs (name: _: !isTest name) checks;
in
{
  found = {
    names =
      lib.mapAttrs
        (_: output: if builtins.isAttrs output then lib.attrNames (output.${system} or output) else [ ])
        (
          removeAttrs self [
            "_type"
            "inputs"
            "outPath"
          ]
        );
    hosts = lib.mapAttrs host self.nixosConfigurations;
    inherit options;
    testNames = lib.attrNames tests;
    tests = lib.mapAttrs (_: test: {
      drvPath = drvPath test;
      script = text test.config.testScriptString;
      machines = lib.attrNames test.nodes;
    }) tests;
    checks = lib.mapAttrs (_: drvPath) others;
    # The facts that do not hold.
    broken = lib.concatMap (check: check.passthru.broken or [ ]) (lib.attrValues others);
    apps = lib.mapAttrs (_: app: text app.program) self.apps.${system};
    packages = lib.mapAttrs (_: drvPath) self.packages.${system};
  };
  inherit (self) lib;
}
