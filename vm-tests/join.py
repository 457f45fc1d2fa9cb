STATE = "/var/lib/wisehosting/mesh"
MESH = "wisehosting-mesh.service"
HUB = "http://10.50.0.1:8081"
HOST = "hello.route.wise.test"


def new_token(words: str) -> str:
    return json.loads(client.succeed(f"wh node token create {words} --json", timeout=60))["token"]


def show(host: Host, token: str) -> None:
    host.succeed(f"echo {token} | install -m 0600 -o wisehosting-mesh /dev/stdin {STATE}/join-token")


def answer(host: Host, token: str, role: str) -> str:
    """The code of the control plane's answer to a join of `host`, by its own key."""
    key = host.succeed(f"cat {STATE}/public.key").strip()
    body = shlex.quote(json.dumps({"name": host.name, "roles": [role], "public_key": key}))
    join = f"curl -sS -H 'authorization: Bearer {token}' -H 'content-type: application/json' -d {body}"
    return json.loads(host.succeed(f"{join} http://{address_of(control)}:8080/v1/nodes/enroll", timeout=60))["code"]


def refusals() -> int:
    """Requests that the control plane refused, since its start."""
    metrics = control.succeed(f"curl -sS --fail {HUB}/metrics")
    count = "wisehosting_http_request_seconds_count"
    return sum(int(line.split()[-1]) for line in metrics.splitlines() if line.startswith(count) and '"4xx"' in line)


def life(host: Host) -> tuple[str, ...]:
    return tuple(host.get_unit_property(MESH, name) for name in ("ActiveState", "MainPID", "NRestarts"))


def refused(host: Host, token: str, role: str, code: str) -> None:
    """The agent of `host` is refused with `token`, and goes on waiting for another."""
    before, alive = refusals(), life(host)
    show(host, token)
    retry(lambda _: refusals() > before, 60)
    t.assertEqual(answer(host, token, role), code)
    t.assertNotIn(host.name, nodes_of(client))
    t.assertEqual(life(host), alive)
    host.succeed(f"test -e {STATE}/join-token && ! test -e {STATE}/identity.json")


def is_peer(host: Host, key: str) -> bool:
    return key in host.succeed("wg show wh0 peers", timeout=60).split()


def node(name: str) -> dict[str, Any]:
    return json.loads(client.succeed(f"wh node show {name} --json", timeout=60))


start_all()
first_admin(control, client)
wait_online(client, "control")

with subtest("a host without a token waits, and does not fail"):
    for host in (worker2, proxy2):
        host.wait_for_unit(MESH, timeout=120)
        t.assertEqual(life(host)[0::2], ("active", "0"))
    t.assertEqual(set(nodes_of(client)), {"control", "worker1"})

with subtest("a wrong token is refused, and the right one joins afterwards"):
    refused(worker2, "whj_wrong", "worker", "join_token_wrong")
    alive, used = life(worker2), new_token("--role worker")
    show(worker2, used)
    wait_online(client, "worker2")
    worker2.succeed("ip -4 address show wh0 | grep -F 10.50.0.2/24")
    t.assertEqual(life(worker2), alive)

with subtest("a token joins one host, of the role and the name that it is for"):
    refused(proxy2, used, "proxy", "join_token_used")
    refused(proxy2, new_token("--role worker"), "proxy", "role_not_allowed")
    refused(proxy2, new_token("--role proxy --name another"), "proxy", "role_not_allowed")
    show(proxy2, new_token("--role proxy --name proxy2"))
    wait_online(client, "proxy2")

with subtest("another key than the declared one does not get in, with no token either"):
    # It knocks at the control plane's tunnel, which does not open.
    knock = f"ip saddr {address_of(worker1)} udp dport 51821 counter"
    rules = f"table inet knocks {{ chain seen {{ type filter hook prerouting priority raw; {knock}; }}; }}"
    control.succeed(f"nft {shlex.quote(rules)}")
    control.wait_until_succeeds("nft list table inet knocks | grep -E 'packets [1-9]'", timeout=60)
    t.assertEqual(set(worker1.succeed("wg show wh0 latest-handshakes").split()[1::2]), {"0"})
    t.assertEqual(answer(worker1, new_token("--role worker --name worker1"), "worker"), "name_taken")
    t.assertNotEqual(nodes_of(client)["worker1"], "online")

with subtest("the declared key does"):
    worker1.succeed(f"install -m 0600 -o wisehosting-mesh -g wisehosting /etc/declared.key {STATE}/private.key && systemctl restart {MESH}")
    wait_online(client, "worker1")

with subtest("a removed node is no peer of anybody any more"):
    identity = json.loads(proxy2.succeed(f"cat {STATE}/identity.json"))
    key = proxy2.succeed(f"cat {STATE}/public.key").strip()
    others = (control, worker1, worker2)
    for host in others:
        retry(lambda _: is_peer(host, key), 60)
    client.succeed("wh node rm proxy2", timeout=60)
    t.assertNotIn("proxy2", nodes_of(client))
    for host in others:
        retry(lambda _: not is_peer(host, key), 60)

with subtest("its old identity does not bring it back"):
    proxy2.succeed("systemctl restart wisehosting-mesh.service wisehosting-proxy.service", timeout=60)
    proxy2.fail(f"curl -sS --fail --max-time 5 {HUB}/health")
    register = f"""curl -sS -o /dev/null -w '%{{http_code}}' -H 'content-type: application/json' -d '{{"agent":"proxy","version":"0.1.0"}}'"""
    t.assertEqual(control.succeed(f"{register} -H 'authorization: Bearer {identity['api_key']}' {HUB}/v1/workers/register"), "401")
    t.assertNotIn("proxy2", nodes_of(client))

with subtest("a new token does, once the old identity is removed"):
    proxy2.succeed(f"rm {STATE}/identity.json")
    show(proxy2, new_token("--role proxy"))
    proxy2.succeed(f"systemctl restart {MESH}", timeout=60)
    wait_online(client, "proxy2")
    t.assertNotEqual(node("proxy2")["id"], identity["node_id"])

with subtest("a host that joined by token is pinned, and keeps identity, address and apps"):
    # The first worker has no part in this.
    worker1.shutdown()
    retry(lambda _: nodes_of(client)["worker1"] != "online", 60)
    deploy(client, "hello", "Hello")
    client.wait_until_succeeds(http(HOST, address_of(proxy2)), timeout=60)
    before, apps = node("worker2"), containers(worker2)
    identity = worker2.succeed(f"cat {STATE}/identity.json")
    t.assertEqual(before["origin"], "enrolled")
    begin_asking(client, HOST, address_of(proxy2), http)
    agent = life(worker2)
    for host in (control, worker2):
        host.succeed("/run/booted-system/specialisation/pinned/bin/switch-to-configuration test >&2", timeout=120)
    retry(lambda _: node("worker2")["origin"] == "declared", 60)
    t.assertNotEqual(life(worker2), agent)
    wait_online(client, "worker2", "proxy2")
    t.assertEqual(node("worker2")["id"], before["id"])
    t.assertEqual(worker2.succeed(f"cat {STATE}/identity.json"), identity)
    worker2.succeed("ip -4 address show wh0 | grep -F 10.50.0.2/24")
    t.assertEqual(containers(worker2), apps)
    asked, failed = end_asking(client)
    t.assertGreater(asked, 20)
    t.assertEqual(failed, 0)
