# How hosts come in, by token and by key, and how they are kept out.
let
  keys = import ./nodes/keys.nix;
  # The second worker joins by token, and is taken into the fleet by its key later.
  pinned.configuration.services.wisehosting.fleet.hosts.worker2 = {
    inherit (keys.secondWorker) publicKey;
    meshAddress = "10.50.0.2";
  };
in
{
  nodes = {
    control = {
      imports = [ ./nodes/control.nix ];
      specialisation = { inherit pinned; };
    };
    # Declared by a key that is not its own.
    worker1 = {
      imports = [ ./nodes/fleet.nix ];
      environment.etc."declared.key".text = keys.worker.privateKey;
    };
    worker2 = {
      imports = [
        ./nodes/fleet.nix
        (import ./nodes/pinned.nix "secondWorker")
      ];
      specialisation = { inherit pinned; };
    };
    proxy2.imports = [ ./nodes/fleet.nix ];
    client.imports = [ ./nodes/client.nix ];
  };
}
