KEYS = "/var/lib/wisehosting/mesh"


def peers(machine: Host) -> list[str]:
    return machine.succeed("wg show wh0 peers").split()


start_all()
first_admin(control, client)
wait_online(client, "worker1")
old = worker1.succeed(f"cat {KEYS}/public.key").strip()
t.assertEqual(peers(control), [old])
check_tunnel(worker1)

with subtest("a key that the fleet does not know has no place in the mesh"):
    worker1.succeed(f"cat /etc/next.key > {KEYS}/private.key", "systemctl restart wisehosting-mesh")
    worker1.wait_until_succeeds("wg show wh0 peers | grep .", timeout=60)
    worker1.fail("ping -c 1 -W 2 10.50.0.1")

with subtest("the fleet is told, and the host is back under its new key"):
    control.succeed("/run/current-system/specialisation/rotated/bin/switch-to-configuration test", timeout=120)
    worker1.wait_until_succeeds("ping -c 1 -W 2 10.50.0.1", timeout=60)
    wait_online(client, "worker1")
    new = worker1.succeed(f"cat {KEYS}/public.key").strip()
    t.assertNotEqual(new, old)
    t.assertEqual(peers(control), [new])
    check_tunnel(worker1)
