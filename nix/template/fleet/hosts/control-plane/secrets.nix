# Once there is a ./secrets.yaml (README.md, "Secrets"): the control plane's secret comes from this repository.
{ config, ... }:
{
  sops = {
    defaultSopsFile = ./secrets.yaml;
    # The host decrypts with its own SSH key.
    age.sshKeyPaths = [ "/etc/ssh/ssh_host_ed25519_key" ];
    secrets.api-server-secret.restartUnits = [ "wisehosting-control-plane.service" ];
  };

  # A path, never the value: systemd hands the file over as a credential, so it stays readable by root only.
  services.wisehosting.controlPlane.secretFile = config.sops.secrets.api-server-secret.path;

  # With agenix instead: `agenix.nixosModules.default` in flake.nix, and here
  #   age.secrets.api-server-secret.file = ./api-server-secret.age;
  #   services.wisehosting.controlPlane.secretFile = config.age.secrets.api-server-secret.path;
}
