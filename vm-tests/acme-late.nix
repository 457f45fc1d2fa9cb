# A fleet whose certificate authority is not there yet when the first app is.
{
  nodes = {
    internet = {
      imports = [ ./nodes/internet.nix ];
      wisehosting.test.proxies = [ "proxy1" ];
    };
    control.imports = [ ./nodes/control.nix ];
    worker1.imports = [
      ./nodes/fleet.nix
      (import ./nodes/pinned.nix "worker")
    ];
    proxy1.imports = [
      ./nodes/fleet.nix
      (import ./nodes/pinned.nix "proxy")
    ];
    client.imports = [ ./nodes/client.nix ];
  };
}
