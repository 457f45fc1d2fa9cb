{ pkgs, self }:
let
  inherit (pkgs) lib;
in
lib.mapAttrs' (name: lib.nameValuePair "vm-${name}") (import ../../vm-tests { inherit pkgs self; })
