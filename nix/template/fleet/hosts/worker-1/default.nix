{
  imports = [ ../common ];

  system.stateVersion = "26.05";
}
