{
  imports = [
    ../common
    ../../nix/profiles/disk-gpt.nix
  ];

  services.wisehosting = {
    controlPlane.settings.acme = {
      directory = "https://acme-v02.api.letsencrypt.org/directory";
      contact = "mailto:ops@example.com";
    };
    backup.enable = true;
    monitoring.grafana.enable = true;
  };

  system.stateVersion = "26.05";
}
