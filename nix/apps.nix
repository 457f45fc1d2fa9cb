{ pkgs, ... }:
let
  inherit (pkgs) lib;
  app = description: program: {
    type = "app";
    program = lib.getExe program;
    meta = { inherit description; };
  };
in
{
  default = app "The command line" pkgs.wisehosting;
}
