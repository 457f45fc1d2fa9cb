HOST = "hello.route.wise.test"
hosts = [control, worker1, worker2, proxy1, proxy2]

# The CA first: an order that cannot be made is tried again only later.
internet.start()
internet.wait_for_unit("pebble.service")
start_all()
first_admin(control, client)
trust_ca(client)

with subtest("declared hosts are in without a token, by their own keys"):
    wait_online(client, "control", "worker1", "proxy1")
    worker1.succeed("ip -4 address show wh0 | grep -F 10.50.0.11/24")

with subtest("hosts join by token, and the token is gone"):
    t.assertNotIn("worker2", nodes_of(client))
    join(client, worker2, "worker")
    join(client, proxy2, "proxy")
    wait_online(client, "worker2", "proxy2")
    worker2.fail("test -e /var/lib/wisehosting/mesh/join-token")

with subtest("keys are private, and their public halves readable"):
    for host in hosts:
        owner = host.succeed("stat -c '%a %U' /var/lib/wisehosting/mesh/private.key").strip()
        t.assertEqual(owner, "600 wisehosting-mesh")
        t.assertEqual(host.succeed("stat -c %a /var/lib/wisehosting/mesh/identity.json").strip(), "640")

with subtest("the tunnel is the kernel's where it can be"):
    for host in hosts:
        check_tunnel(host)

with subtest("every host reaches every other over the mesh"):
    for host in hosts:
        for address in [address_of(other, "wh0") for other in hosts]:
            host.wait_until_succeeds(f"ping -c 1 -W 2 {address}", timeout=60)

with subtest("a tunnel that is as it should be is left alone"):
    # The agent looks at it each half minute.
    t.assertEqual(worker2.succeed("timeout 40 ip monitor address dev wh0 || true", timeout=120), "")

with subtest("the database belongs to the control plane, without a password"):
    query = "select pg_get_userbyid(datdba) from pg_database where datname = 'wisehosting'"
    owner = control.succeed(f"runuser -u postgres -- psql -Atc {shlex.quote(query)}")
    t.assertEqual(owner.strip(), "wisehosting")

with subtest("an app is built, and served over HTTPS by every proxy"):
    deploy(client, "hello", "the first release")
    proxies = client.succeed(f"dig +short @internet {HOST}").split()
    t.assertEqual(set(proxies), {address_of(proxy1), address_of(proxy2)})
    for address in proxies:
        wait_served(client, HOST, address, "the first release")
        client.succeed(
            f"curl -sS -o /dev/null -w '%{{http_code}} %{{redirect_url}}' --resolve {HOST}:80:{address} http://{HOST}/"
            f" | grep -E '^30[18] https://{HOST}/'"
        )

with subtest("a redeploy loses no request"):
    begin_asking(client, HOST, proxies[0])
    deploy(client, "hello", "the second release")
    wait_served(client, HOST, proxies[0], "the second release")
    asked, failed = end_asking(client)
    t.assertGreater(asked, 50)
    t.assertEqual(failed, 0)
