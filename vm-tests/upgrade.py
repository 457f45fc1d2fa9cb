URL = "http://hello.route.wise.test/"


def report(host: Machine) -> dict:
    return json.loads(host.succeed("wisehosting-health-gate status"))


def switch(host: Machine, generation: str) -> str:
    """Switches, and waits for the verdict; gives what the host runs then."""
    # It may tell that a unit has failed to start; the verdict is the gate's.
    host.execute(f"/run/booted-system/specialisation/{generation}/bin/switch-to-configuration test >&2", timeout=120)
    host.execute("wisehosting-health-gate wait >&2", timeout=120)
    return running(host)


def running(host: Machine) -> str:
    return host.succeed("readlink -f /run/current-system").strip()


def of(host: Machine, generation: str) -> str:
    return host.succeed(f"readlink -f /run/booted-system/specialisation/{generation}").strip()


def pid(host: Machine, unit: str) -> str:
    return host.get_unit_property(unit, "MainPID")


def kept(worker: Machine) -> str:
    """What no switch may touch: the app's containers, their way through the firewall, the tunnel."""
    containers = worker.succeed("podman ps --no-trunc --format '{{.ID}} {{.StartedAt}}'")
    t.assertEqual(len(containers.splitlines()), 1)
    # The userspace tunnel is a process; the kernel's is an interface that keeps its number.
    return containers + worker.succeed(
        "nft --stateless list table inet netavark",
        "cat /sys/class/net/wh0/ifindex",
        "pgrep --full 'wisehosting-mesh.*[t]unnel' || true",
    )


start_all()
first_admin(control, client)
wait_online(client, "worker1", "proxy1")
deploy(client, "hello", "Hello")
ask = f"curl -sS --fail --max-time 5 --resolve hello.route.wise.test:80:{address_of(proxy1)} {URL}"
client.wait_until_succeeds(ask, timeout=60)
# From here to the end the app is asked five times in a second.
client.succeed(f"systemd-run --unit=visitor -- bash -c 'while sleep 0.2; do {ask} && echo ok >> /tmp/served; done 2>> /tmp/missed'")

first = {host.name: running(host) for host in (control, worker1, proxy1)}

with subtest("the first generation is judged at boot, and kept as the one to go back to"):
    for host in (control, worker1, proxy1):
        host.succeed("wisehosting-health-gate wait", timeout=120)
        t.assertEqual(host.succeed("readlink -f /nix/var/nix/gcroots/wisehosting-good").strip(), first[host.name])
        t.assertEqual(report(host)["verdict"], "good")

with subtest("a good generation restarts what changed and nothing else"):
    before = kept(worker1)
    mesh, agent = pid(worker1, "wisehosting-mesh.service"), pid(worker1, "wisehosting-worker.service")
    next_one = switch(worker1, "next")
    t.assertEqual(next_one, of(worker1, "next"))
    t.assertEqual(kept(worker1), before)
    t.assertEqual(pid(worker1, "wisehosting-mesh.service"), mesh)
    t.assertNotEqual(pid(worker1, "wisehosting-worker.service"), agent)
    worker1.succeed("nft list ruleset | grep 12345")
    t.assertEqual(report(worker1)["verdict"], "good")

with subtest("a worker whose program exits goes back to the last good generation, and says why"):
    # What `nixos-rebuild switch` does first: the profile that the host boots.
    profile = "/nix/var/nix/profiles/system"
    worker1.succeed(
        f"mkdir -p /nix/var/nix/profiles && ln -sfn {next_one} {profile}-1-link && ln -sfn {of(worker1, 'broken')} {profile}-2-link",
        f"ln -sfn system-2-link {profile}",
    )
    t.assertEqual(switch(worker1, "broken"), next_one)
    t.assertEqual(worker1.succeed(f"readlink {profile}").strip(), "system-1-link")
    refused = report(worker1)["refused"]
    t.assertEqual(refused["generation"], of(worker1, "broken"))
    t.assertIn("worker", [failed["check"] for failed in refused["failed"]])
    t.assertIn("wisehosting-worker.service", json.dumps(refused["failed"]))
    t.assertEqual(worker1.get_unit_property("wisehosting-health-gate.service", "ActiveState"), "failed")
    worker1.succeed("journalctl -u wisehosting-health-gate --grep 'wisehosting-worker.service is activating'")
    wait_online(client, "worker1")
    t.assertEqual(kept(worker1), before)

with subtest("a check of the operator's own counts as much"):
    t.assertEqual(switch(worker1, "unwanted"), next_one)
    t.assertEqual([failed["check"] for failed in report(worker1)["refused"]["failed"]], ["shop"])

with subtest("a control plane that cannot start goes back, and takes nobody with it"):
    postgres = pid(control, "postgresql.service")
    t.assertEqual(switch(control, "broken"), first["control"])
    t.assertIn("control-plane", [failed["check"] for failed in report(control)["refused"]["failed"]])
    t.assertEqual(pid(control, "postgresql.service"), postgres)
    wait_online(client, "worker1", "proxy1")
    t.assertEqual(running(worker1), next_one)
    t.assertEqual(running(proxy1), first["proxy1"])

with subtest("what was good once and breaks later is reported, and not switched away from"):
    worker1.succeed("systemctl stop podman.socket wisehosting-worker.service && systemctl start wisehosting-health-gate.service")
    worker1.execute("wisehosting-health-gate wait >&2", timeout=120)
    t.assertEqual(report(worker1)["verdict"], "failed")
    t.assertEqual(running(worker1), next_one)
    worker1.succeed("systemctl start wisehosting-worker.service && systemctl start wisehosting-health-gate.service")
    worker1.execute("wisehosting-health-gate wait >&2", timeout=120)
    t.assertEqual(report(worker1)["verdict"], "good")

with subtest("the app was served all the time"):
    client.succeed("systemctl stop visitor.service")
    t.assertEqual(client.succeed("cat /tmp/missed"), "")
    t.assertGreater(int(client.succeed("wc -l < /tmp/served")), 200)
