# Where a host that was made from an image finds its join token at its first boot: all else that it needs is in its
# system, and an image with a secret in it could not be given away.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkEnableOption;
  top = config.services.wisehosting;
  credential = "wisehosting.join_token";
  label = "WISEHOSTING";
  slot = "/run/wisehosting-join-slot";
  folder = top.mesh.settings.state_dir;
in
{
  options.services.wisehosting.mesh.joinSlot.enable = mkEnableOption ''
    the slot for a join token, for images. Until the host has joined, its mesh agent is given the token from

    - the system credential `${credential}`, which a hypervisor passes by SMBIOS or fw_cfg, and a boot loader from its
      own partition, or
    - the file `join-token` on any medium whose file system is labelled `${label}`, plugged in at any time
  '';

  config = lib.mkIf (top.mesh.enable && top.mesh.joinSlot.enable) {
    systemd.services.wisehosting-join-slot = {
      description = "Take the join token from the host's slot";
      wantedBy = [ "multi-user.target" ];
      path = [ pkgs.util-linux ];
      unitConfig.ConditionPathExists = "!${folder}/identity.json";
      # As root: it mounts a medium, and gives the token to another user.
      serviceConfig = {
        Type = "oneshot";
        ImportCredential = credential;
        RuntimeDirectory = baseNameOf slot;
        # The mount is the unit's own, and gone with it.
        PrivateMounts = true;
        UMask = "0077";
      };
      script = ''
        token=''${CREDENTIALS_DIRECTORY:-/nowhere}/${credential}
        if [ ! -s "$token" ] && [ -e /dev/disk/by-label/${label} ]; then
          mount -o ro,nosuid,nodev,noexec /dev/disk/by-label/${label} ${slot}
          token=${slot}/join-token
        fi
        if [ ! -s "$token" ]; then
          echo 'no join token: neither a system credential `${credential}`, nor a file `join-token` on a medium labelled `${label}`'
          exit
        fi
        install -d -m 0750 -o wisehosting-mesh -g wisehosting ${folder}
        install -m 0600 -o wisehosting-mesh -g wisehosting "$token" ${folder}/join-token
        echo "took the join token from $token"
      '';
    };

    # A medium that comes later starts the unit again.
    services.udev.extraRules = ''
      ACTION=="add", SUBSYSTEM=="block", ENV{ID_FS_LABEL}=="${label}", TAG+="systemd", ENV{SYSTEMD_WANTS}+="wisehosting-join-slot.service"
    '';
  };
}
