{
  imports = [
    ../common
    ../../nix/profiles/disk-gpt.nix
  ];

  system.stateVersion = "26.05";
}
