{ pkgs, self }:
let
  inherit (pkgs) lib;
  prefixed = prefix: lib.mapAttrs' (name: lib.nameValuePair "${prefix}-${name}");

  nixFiles = lib.fileset.toSource {
    root = ../..;
    fileset = lib.fileset.fileFilter (file: file.hasExt "nix") ../..;
  };

  # Facts that hold or not: a derivation that fails with the ones that do not.
  facts =
    name: all:
    let
      broken = lib.attrNames (lib.filterAttrs (_: holds: !holds) all);
    in
    pkgs.runCommand name { passthru = { inherit broken; }; } (
      if broken == [ ] then
        "echo '${toString (lib.length (lib.attrNames all))} facts hold' > $out"
      else
        ''
          printf 'does not hold: %s\n' ${lib.escapeShellArgs broken}
          exit 1
        ''
    );
in
{
  inherit (pkgs) wisehosting;

  clippy = pkgs.wisehosting.overrideAttrs (old: {
    pname = "wisehosting-clippy";
    nativeBuildInputs = old.nativeBuildInputs ++ [ pkgs.clippy ];
    buildPhase = ''
      runHook preBuild
      cargo clippy --offline --workspace --all-targets --all-features -- -D warnings
    '';
    installPhase = "touch $out";
  });

  nix-format = pkgs.runCommand "nix-format" { nativeBuildInputs = [ pkgs.nixfmt-rfc-style ]; } ''
    find ${nixFiles} -name '*.nix' -exec nixfmt --check {} + > $out
  '';
  nix-dead-code = pkgs.runCommand "nix-dead-code" { nativeBuildInputs = [ pkgs.deadnix ]; } ''
    deadnix --fail --no-lambda-pattern-names ${nixFiles} > $out
  '';

  monitoring = import ./monitoring.nix { inherit pkgs; };
  templates = import ./templates.nix { inherit pkgs self; };
  modules = facts "modules" (import ./modules.nix { inherit pkgs self; });
}
// prefixed "host" (
  lib.mapAttrs (_: host: host.config.system.build.toplevel) (
    lib.filterAttrs (
      _: host: host.pkgs.stdenv.hostPlatform.system == pkgs.stdenv.hostPlatform.system
    ) self.nixosConfigurations
  )
)
// import ../../vm-tests { inherit pkgs self; }
