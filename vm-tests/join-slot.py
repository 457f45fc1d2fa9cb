SLOT = "wisehosting-join-slot.service"
TOKEN = "/var/lib/wisehosting/mesh/join-token"


def token(role: str) -> str:
    return json.loads(client.succeed(f"wh node token create --role {role} --json", timeout=60))["token"]


start_all()
first_admin(control, client)

with subtest("a host with an empty slot waits, and says what it waits for"):
    for host in (worker2, proxy2):
        host.wait_for_unit("wisehosting-mesh.service")
        host.wait_until_succeeds(f"journalctl -u {SLOT} --grep 'neither a system credential'", timeout=60)
        host.fail(f"test -e {TOKEN}")
    t.assertEqual(list(nodes_of(client)), ["control"])

with subtest("a credential that the machine was given joins it"):
    # Where systemd also looks for what a hypervisor passes by SMBIOS or fw_cfg.
    worker2.succeed(
        f"echo {token('worker')} | install -D -m 0400 /dev/stdin /run/credstore/wisehosting.join_token",
        f"systemctl start {SLOT}",
    )
    wait_online(client, "worker2")
    worker2.fail(f"test -e {TOKEN}")

with subtest("a medium with the right label joins its host"):
    proxy2.succeed(
        "mkdir /root/medium && truncate -s 8M /root/image",
        f"echo {token('proxy')} > /root/medium/join-token && mkfs.ext4 -q -L WISEHOSTING -d /root/medium /root/image",
    )
    device = proxy2.succeed("losetup --show --find /root/image").strip()
    proxy2.succeed(
        f"mkdir -p /dev/disk/by-label && ln -sfn {device} /dev/disk/by-label/WISEHOSTING",
        f"systemctl start {SLOT}",
    )
    wait_online(client, "proxy2")
    proxy2.fail(f"test -e {TOKEN}")
    # Nothing stays mounted, so that the medium can be taken out.
    proxy2.fail("findmnt /run/wisehosting-join-slot")

with subtest("a host that has joined looks at its slot no more"):
    t.assertEqual(worker2.get_unit_property(SLOT, "ConditionResult"), "yes")
    worker2.succeed(f"systemctl start {SLOT}")
    t.assertEqual(worker2.get_unit_property(SLOT, "ConditionResult"), "no")
