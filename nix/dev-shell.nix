# What `scripts/` needs where Debian's packages are not.
{ pkgs }:
let
  testbed = import ./testbed-programs.nix { inherit pkgs; };
in
pkgs.mkShell {
  packages = [
    pkgs.cargo
    pkgs.cargo-deny
    pkgs.clippy
    pkgs.cmake
    pkgs.deadnix
    pkgs.mypy
    pkgs.nixfmt-rfc-style
    pkgs.nodejs
    pkgs.python3
    pkgs.rust-analyzer
    pkgs.rustc
    pkgs.rustfmt
    pkgs.shellcheck
    pkgs.sqlx-cli
    pkgs.traefik
  ]
  ++ testbed;
  env = {
    SQLX_OFFLINE = "true";
    WH_TESTBED_PATH = pkgs.lib.makeBinPath testbed;
  };
}
