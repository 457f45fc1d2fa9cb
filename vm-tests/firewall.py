WORKER = "10.50.0.11"
SUSPECTS = {22, 80, 111, 443, 5432, *range(8079, 8092), 9090, 9100, *range(20000, 20011), 20050, 51821}


def address6(machine):
    shown = "ip -6 -o address show eth1 scope global | grep -oE 'inet6 fd51::[0-9a-f]+'"
    return machine.wait_until_succeeds(shown, timeout=30).split()[1]


def listening(machine):
    """Everything that listens there, on whatever address."""
    lines = machine.succeed("ss -Hltn").splitlines()
    return {int(line.split()[3].rsplit(":", 1)[1]) for line in lines}


def scan(machine, address, ports):
    """Those of the ports that take a connection."""
    tries = " ".join(str(port) for port in sorted(ports))
    found = machine.succeed(
        f"for port in {tries}; do (nc -z -w 2 {address} $port && echo $port || true) & done; wait", timeout=60
    )
    return {int(port) for port in found.split()}


def get(address, port=8080, path="/"):
    return f"curl -sS --fail --max-time 3 --noproxy '*' http://{address}:{port}{path}"


def send(machine, source, mark):
    """One datagram to the port of worker1 that is open to everybody."""
    machine.succeed(f"echo {mark} | nc -u -w 1 -s {source} {address_of(worker1)} 7777")


start_all()
first_admin(control, client)
wait_online(client, "control", "worker1", "proxy1")
deploy(client, "hello", "the app")
published = worker1.succeed("podman ps --format '{{.Ports}}'").split("->")[0].strip()
app_port = int(published.rsplit(":", 1)[1])
image = worker1.succeed("podman ps --quiet | xargs podman inspect --format '{{.Image}}'").strip()
inside = worker1.succeed(
    "podman ps --quiet | xargs podman inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'"
).strip()

with subtest("an app is published on the mesh only, and answers there"):
    t.assertEqual(published, f"{WORKER}:{app_port}")
    proxy1.succeed(f"{get(WORKER, app_port)} | grep 'the app'")

with subtest("from outside, each role answers on its documented ports only"):
    for machine, documented in [(control, {8080}), (worker1, set()), (proxy1, {80, 443})]:
        ports = SUSPECTS | listening(machine) | {app_port}
        t.assertEqual(scan(attacker, address_of(machine), ports), documented, machine.name)
        t.assertLessEqual(scan(attacker, address6(machine), ports), documented, machine.name)

with subtest("the scan finds a port of IPv6 where one is open"):
    worker1.succeed("systemd-run --unit=open6 socat TCP6-LISTEN:20051,fork,reuseaddr EXEC:date")
    attacker.wait_until_succeeds(f"nc -z -w 2 {address6(worker1)} 20051", timeout=20)
    worker1.succeed("systemctl stop open6.service")

with subtest("the mesh's ports answer on the mesh"):
    proxy1.succeed(get("10.50.0.1", 8081, "/health"))
    control.succeed(get(WORKER, 8090, "/health"), get("10.50.0.21", 8091, "/health"))
    t.assertLessEqual({8090}, scan(control, WORKER, SUSPECTS))

with subtest("a route to the mesh's addresses leads nowhere, whichever host it goes by"):
    for host in [control, worker1, proxy1]:
        attacker.succeed(f"ip route replace 10.50.0.0/24 via {address_of(host)}")
        for target, ports in [("10.50.0.1", {22, 5432, 8080, 8081}), (WORKER, {8090, app_port}), ("10.50.0.21", {80, 443, 8091})]:
            t.assertEqual(scan(attacker, target, ports), set(), f"{target} via {host.name}")
        attacker.fail(f"ping -c 1 -W 1 {address_of(host, 'wh0')}")
    attacker.succeed(f"ping -c 1 -W 1 {address_of(worker1)}")

with subtest("nobody outside speaks with an address of the mesh"):
    attacker.succeed("ip address add 10.50.0.21/32 dev lo")
    worker1.succeed("systemd-run --unit=heard sh -c 'socat -u UDP-RECV:7777 STDOUT > /run/heard'")
    worker1.wait_until_succeeds("ss -Hlun | grep -F :7777", timeout=20)
    send(attacker, "10.50.0.21", "forged")
    send(attacker, address_of(attacker), "honest")
    worker1.wait_until_succeeds("grep honest /run/heard", timeout=20)
    worker1.fail("grep forged /run/heard")

with subtest("a port that is published by hand is closed to the outside"):
    for port in [20050, 20051]:
        worker1.succeed(f"podman run --detach --publish {port}:8080 {image}", timeout=60)
        worker1.wait_until_succeeds(get("127.0.0.1", port), timeout=20)
        control.succeed(get(WORKER, port))
    attacker.fail(get(address_of(worker1), 20050))

with subtest("unless the operator opens it"):
    attacker.succeed(get(address_of(worker1), 20051))

with subtest("a route to the containers' own addresses leads nowhere"):
    attacker.succeed(f"ip route replace {inside}/32 via {address_of(worker1)}")
    worker1.succeed(get(inside))
    attacker.fail(get(inside))

with subtest("a reload of the firewall keeps the apps' ports and the worker's table"):
    netavark = worker1.succeed("nft list table inet netavark")
    t.assertIn(str(app_port), netavark)
    worker1.succeed("systemctl reload nftables.service", timeout=60)
    t.assertEqual(worker1.succeed("nft list table inet netavark"), netavark)
    worker1.succeed("nft list chain inet wisehosting_worker forward")
    proxy1.succeed(get(WORKER, app_port))
    attacker.succeed(get(address_of(worker1), 20051))
    attacker.fail(get(address_of(worker1), 20050))

with subtest("it is these rules that keep the attacker out"):
    attacker.succeed(f"ip route replace 10.50.0.0/24 via {address_of(worker1)}")
    worker1.succeed("systemctl stop wisehosting-worker.service")
    worker1.succeed("nft delete table inet wisehosting-containers")
    attacker.succeed(get(address_of(worker1), 20050), get(inside))
    attacker.fail(get(WORKER, app_port))
    worker1.succeed("nft delete table inet wisehosting-mesh; nft delete table inet wisehosting_worker")
    attacker.succeed(get(WORKER, app_port))
    send(attacker, "10.50.0.21", "forged")
    worker1.wait_until_succeeds("grep forged /run/heard", timeout=20)

with subtest("and they come back with the firewall and the worker"):
    worker1.succeed("systemctl reload nftables.service", timeout=60)
    attacker.fail(get(WORKER, app_port))
    attacker.fail(get(inside))
    worker1.succeed("systemctl start wisehosting-worker.service", timeout=60)
    worker1.wait_until_succeeds("nft list table inet wisehosting_worker", timeout=60)
    proxy1.succeed(get(WORKER, app_port))
