# shellcheck shell=bash
# Puts the system of a host on a disk: one boot partition and a root, found by their labels (profiles/disk-gpt.nix).
#
#   wisehosting-install /dev/DISK [--yes]
: "${host:?}" "${system:?}"

disk=${1:-}
if [[ ! -b $disk ]]; then
  echo "usage: wisehosting-install /dev/DISK [--yes]   (DISK is one of: $(lsblk --nodeps --noheadings --output NAME | xargs))" >&2
  exit 64
fi
if ((EUID != 0)); then
  echo 'wisehosting-install needs root: run it with sudo' >&2
  exit 77
fi
if [[ ${2:-} != --yes ]]; then
  lsblk "$disk"
  read -rp "Everything on $disk will be lost. Type its name to go on: " answer
  [[ $answer == "$disk" ]] || exit 1
fi

wipefs --all --quiet "$disk"
sfdisk --quiet "$disk" <<'TABLE'
label: gpt
size=1GiB, type=uefi, name=ESP
type=linux, name=nixos
TABLE
udevadm settle
mapfile -t parts < <(lsblk --noheadings --list --paths --output NAME,TYPE "$disk" | awk '$2 == "part" { print $1 }')
mkfs.vfat -F 32 -n ESP "${parts[0]}"
mkfs.ext4 -q -F -L nixos "${parts[1]}"

mount "${parts[1]}" /mnt
mount --mkdir -o umask=0077 "${parts[0]}" /mnt/boot
nixos-install --root /mnt --system "$system" --no-root-passwd --no-channel-copy
umount --recursive /mnt
echo "$host is on $disk: take the installer out and reboot. It joins with the token in its slot."
