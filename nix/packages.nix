{ pkgs, ... }:
{
  default = pkgs.wisehosting;
  inherit (pkgs) wisehosting wisehosting-web;
}
