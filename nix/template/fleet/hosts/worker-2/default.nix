{
  imports = [ ../common ];

  # What is only this host's own.
  disko.devices.disk.main.device = "/dev/nvme0n1";

  system.stateVersion = "26.05";
}
