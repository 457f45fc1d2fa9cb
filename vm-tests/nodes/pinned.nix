# A host that starts with the key that the tests' fleet knows of it. Real hosts make their keys and keep them.
key: {
  systemd.services.test-key = {
    description = "Put the key of the test in place";
    requiredBy = [ "wisehosting-mesh.service" ];
    before = [ "wisehosting-mesh.service" ];
    serviceConfig = {
      Type = "oneshot";
      User = "wisehosting-mesh";
      Group = "wisehosting";
      StateDirectory = "wisehosting/mesh";
      StateDirectoryMode = "0750";
    };
    script = ''
      [ -e "$STATE_DIRECTORY/private.key" ] || (umask 0077; echo ${
        (import ./keys.nix).${key}.privateKey
      } > "$STATE_DIRECTORY/private.key")
    '';
  };
}
