import re

URL = "https://cp.wise.test"
CP = "cp.wise.test"
APP = "hello.route.wise.test"


def open_ports() -> set[int]:
    """Those that take a connection from outside, of all that something listens on and of those that often do."""
    listening = {int(line.split()[3].rsplit(":", 1)[1]) for line in server.succeed("ss -Hltn").splitlines()}
    ports = " ".join(map(str, sorted(listening | {22, 80, 443, 5432, *range(8080, 8092), *range(20000, 20011)})))
    found = client.succeed(
        f"for port in {ports}; do (nc -z -w 2 {address} $port && echo $port || true) & done; wait", timeout=60
    )
    return {int(port) for port in found.split()}


def audited(action: str) -> list[str]:
    """Addresses behind a kind of event, the newest first."""
    login = {"name": "audit", "email": "ops@wise.test", "password": PASSWORD}
    token = json.loads(call("tokens", login))["token"]
    events = json.loads(call("audit", header=f"authorization: Bearer {token}"))["items"]
    return [event["address"] for event in events if event["action"] == action]


def call(path: str, body: dict[str, str] | None = None, header: str = "accept: application/json") -> str:
    """A request to the API through the proxy."""
    post = f"-H 'content-type: application/json' -d {shlex.quote(json.dumps(body))}" if body else ""
    return client.succeed(
        f"curl -sS --fail-with-body --cacert /tmp/ca.pem -H '{header}' {post} {URL}/api/v1/{path}", timeout=60
    )


# The CA first: an order that cannot be made is tried again only later.
internet.start()
internet.wait_for_unit("pebble.service")
start_all()
server.wait_for_unit("multi-user.target", timeout=600)
address = address_of(server)
trust_ca(client)

with subtest("from nothing, the dashboard gets its address and its certificate by itself"):
    client.wait_until_succeeds(f"{https(CP, address)} | grep '<title>WiseHosting'", timeout=300)
    client.succeed(
        f"curl -sS -o /dev/null -w '%{{http_code}} %{{redirect_url}}' http://{CP}/ | grep -E '^30[18] {URL}/'"
    )

with subtest("the first administrator comes with a code from the host"):
    code = server.succeed("wisehosting-admin setup-code --bare", timeout=60).strip()
    account = {"code": code, "email": "ops@wise.test", "name": "Ops", "password": PASSWORD, "organization": "Test"}
    call("setup", account)
    client.succeed(
        f"echo {shlex.quote(PASSWORD)} | wh login {URL} --ca-file /tmp/ca.pem --email ops@wise.test --password-stdin",
        timeout=60,
    )
    wait_online(client, "server")

with subtest("an app is deployed through the proxy and served over HTTPS"):
    deploy(client, "hello", "on one server")
    wait_served(client, APP, address, "on one server")

with subtest("the audit log knows the client, whatever it claims to be"):
    call("session", {"email": "ops@wise.test", "password": PASSWORD}, header="x-forwarded-for: 192.0.2.66")
    t.assertEqual(audited("session.create")[0], address_of(client))

with subtest("from outside there are SSH, HTTP and HTTPS, and the tunnel"):
    t.assertEqual(open_ports(), {22, 80, 443})
    # Nothing answers a datagram that the tunnel does not want, so the rules are asked.
    rules = server.succeed("nft list chain inet nixos-fw input-allow")
    t.assertEqual(re.findall(r"^\s*udp dport (.+) accept", rules, re.MULTILINE), ["51821"])

with subtest("after a reboot everything is back by itself"):
    booted = server.succeed("cat /proc/sys/kernel/random/boot_id")
    server.reboot()
    server.wait_for_unit("multi-user.target", timeout=600)
    wait_served(client, APP, address, "on one server")
    client.wait_until_succeeds(https(CP, address), timeout=300)
    t.assertNotEqual(server.succeed("cat /proc/sys/kernel/random/boot_id"), booted)
    wait_online(client, "server")
    deploy(client, "hello", "after the reboot")
    wait_served(client, APP, address, "after the reboot")
