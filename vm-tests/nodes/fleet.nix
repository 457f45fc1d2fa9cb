# A small fleet for tests, by the names of their machines: `control`, and those of `worker1`, `worker2`, `proxy1`,
# `proxy2`, `single` that the test has. The first worker and the first proxy are declared by their keys, the others join
# by token.
{ lib, nodes, ... }:
let
  keys = import ./keys.nix;
  address = name: nodes.${name}.networking.primaryIPAddress;
  pinned = key: meshAddress: {
    inherit meshAddress;
    inherit (keys.${key}) publicKey;
  };
  hosts = {
    control = {
      roles = [ "control-plane" ];
    }
    // pinned "control" "10.50.0.1";
    worker1 = {
      roles = [ "worker" ];
    }
    // pinned "worker" "10.50.0.11";
    worker2.roles = [ "worker" ];
    proxy1 = {
      roles = [ "proxy" ];
    }
    // pinned "proxy" "10.50.0.21";
    proxy2.roles = [ "proxy" ];
  };
in
{
  services.wisehosting.fleet = {
    url = "http://${address "control"}:8080";
    zone = "route.wise.test";
    hosts = lib.mapAttrs (name: host: host // { address = address name; }) (
      lib.filterAttrs (name: _: nodes ? ${name}) hosts
    );
  };
}
