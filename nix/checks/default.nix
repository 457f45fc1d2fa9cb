{ pkgs, self }:
let
  inherit (pkgs) lib;
in
{
  monitoring = import ./monitoring.nix { inherit pkgs; };
}
// lib.mapAttrs' (name: lib.nameValuePair "vm-${name}") (
  import ../../vm-tests { inherit pkgs self; }
)
