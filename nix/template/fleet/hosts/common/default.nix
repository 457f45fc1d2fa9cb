# What all hosts share.
{
  imports = [ ./disk.nix ];

  # Yours; without a key nobody can log in.
  users.users.root.openssh.authorizedKeys.keys = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExampleExam you@example.com"
  ];
}
