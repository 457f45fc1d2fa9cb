# The control plane of the tests' fleet, with the tests' CA where there is one.
{
  lib,
  nodes,
  pkgs,
  ...
}:
{
  imports = [
    ./fleet.nix
    (import ./pinned.nix "control")
  ];
  services.wisehosting.controlPlane = {
    openFirewall = true;
    settings.acme = lib.mkIf (nodes ? internet) {
      directory = "https://acme.test:14000/dir";
      root_certificate = "${pkgs.path + "/nixos/tests/common/acme/server/ca.cert.pem"}";
    };
  };
}
