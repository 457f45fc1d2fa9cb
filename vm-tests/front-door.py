HOST = "hello.route.wise.test"
NEAR = "near.de.wise.test"
CACHE = "/var/lib/wisehosting/proxy"


def direct(text: str) -> str:
    """A request to the app in the worker's own zone."""
    asked = f"curl -sS --fail --max-time 5 --resolve {NEAR}:8080:{worker} http://{NEAR}:8080/"
    return f"{asked} | grep -F {shlex.quote(text)}"


def status(host: Host, options: str) -> str:
    """The status of an answer over plain HTTP, for a name that has no app: 404 is an answer to a good request."""
    return host.succeed(
        f"curl -sS --max-time 5 -o /dev/null -w '%{{http_code}}' {options} -H 'host: nobody.wise.test' http://{proxy}/"
    )


def sockets() -> set[str]:
    """What the kernel calls those on which the proxy's ports are."""
    return set(proxy1.succeed("ss -Hltne '( sport = :80 or sport = :443 )' | grep -oE 'ino:[0-9]+'").split())


internet.start()
internet.wait_for_unit("pebble.service")
start_all()
first_admin(control, client)
trust_ca(client)
wait_online(client, "control", "worker1", "proxy1")
worker, proxy = address_of(worker1), address_of(proxy1)
deploy(client, "hello", "by the proxy")
wait_served(client, HOST, proxy, "by the proxy")

with subtest("a worker with a zone of its own listens while an app is in it, and answers without the proxy"):
    client.succeed("wh zone add de.wise.test --worker worker1", timeout=60)
    client.fail(f"nc -z -w 2 {worker} 8080")
    deploy(client, "near", "by the worker")
    client.succeed("wh zone move de.wise.test --app near", timeout=60)
    client.wait_until_succeeds(direct("by the worker"), timeout=60)
    proxy1.shutdown()
    client.succeed(direct("by the worker"))
    proxy1.start()
    wait_served(client, HOST, proxy, "by the proxy")

with subtest("a proxy that is restarted under load drains for as long as it was told, and loses nothing"):
    before = sockets()
    t.assertEqual(len(before), 2)
    begin_asking(client, HOST, proxy)
    for _ in range(3):
        old = proxy1.get_unit_property("wisehosting-proxy.service", "MainPID")
        proxy1.succeed("systemctl restart --no-block wisehosting-proxy.service")
        health = "curl -sS --max-time 5 -o /dev/null -w '%{http_code}' http://10.50.0.21:8091/health"
        control.wait_until_succeeds(f"{health} | grep -Fx 503", timeout=4)
        client.succeed(https(HOST, proxy))
        retry(lambda _: proxy1.get_unit_property("wisehosting-proxy.service", "MainPID") not in ("0", old), 60)
        proxy1.wait_for_unit("wisehosting-proxy.service")
        control.wait_until_succeeds(f"{health} | grep -Fx 200", timeout=60)
    asked, failed = end_asking(client)
    t.assertGreater(asked, 50)
    t.assertEqual(failed, 0)
    t.assertEqual(sockets(), before)

with subtest("limits are those of the settings"):
    t.assertEqual(status(client, "-H \"x: $(printf %07000d 0)\""), "404")
    t.assertEqual(status(client, "-H \"x: $(printf %09000d 0)\""), "431")

with subtest("the balancer has to say who its clients are, and nobody else can"):
    t.assertEqual(status(balancer, "--haproxy-protocol"), "404")
    balancer.fail(f"curl -sS --max-time 5 http://{proxy}/")
    t.assertEqual(status(client, ""), "404")
    t.assertEqual(status(client, "--haproxy-protocol"), "400")

with subtest("without the control plane, zone and certificates come back from the disk"):
    control.succeed("systemctl stop wisehosting-control-plane.service", timeout=60)
    t.assertEqual(proxy1.succeed("stat -c '%a %U' /secrets/cache-key").strip(), "400 root")
    proxy1.fail(f"grep -r 'PRIVATE KEY' {CACHE}")
    proxy1.succeed("systemctl restart wisehosting-proxy.service", timeout=60)
    wait_served(client, HOST, proxy, "by the proxy")
    worker1.crash()
    worker1.start()
    client.wait_until_succeeds(direct("by the worker"), timeout=300)

with subtest("what was sealed under another key is set aside, and comes anew"):
    proxy1.succeed("umask 0377; openssl rand -hex 32 > /secrets/other && mv -f /secrets/other /secrets/cache-key")
    proxy1.succeed("systemctl restart wisehosting-proxy.service", timeout=60)
    proxy1.wait_for_file(f"{CACHE}/routes.json.damaged", timeout=60)
    client.fail(https(HOST, proxy))
    control.succeed("systemctl start wisehosting-control-plane.service", timeout=300)
    wait_served(client, HOST, proxy, "by the proxy")
