{
  inputs = {
    # Where you have WiseHosting from.
    wisehosting.url = "git+https://git.example.com/wisehosting";
    disko.url = "github:nix-community/disko";
    disko.inputs.nixpkgs.follows = "wisehosting/nixpkgs";
    sops-nix.url = "github:Mic92/sops-nix";
    sops-nix.inputs.nixpkgs.follows = "wisehosting/nixpkgs";
  };

  outputs =
    {
      wisehosting,
      disko,
      sops-nix,
      ...
    }:
    {
      nixosConfigurations = wisehosting.lib.mkFleet {
        fleet = import ./fleet.nix;
        hosts = ./hosts;
        modules = [
          wisehosting.nixosModules.appliance
          disko.nixosModules.disko
          sops-nix.nixosModules.sops
        ];
      };
    };
}
