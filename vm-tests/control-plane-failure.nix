# The power of the control plane's machine is cut in the middle of a build, and its database restarts.
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
