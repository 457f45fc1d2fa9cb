# What `scripts/` needs, and nothing of Debian.
{ pkgs }:
pkgs.mkShell {
  packages = [
    pkgs.cargo
    pkgs.clippy
    pkgs.rustfmt
    pkgs.rust-analyzer
    pkgs.cargo-deny
    pkgs.sqlx-cli
    pkgs.nodejs
    pkgs.postgresql
    pkgs.shellcheck
    pkgs.nixfmt-rfc-style
    pkgs.deadnix
  ];
  env.SQLX_OFFLINE = "true";
}
