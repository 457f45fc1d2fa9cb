HOST = "hello.route.wise.test"


def identities() -> dict[str, str]:
    return {node["name"]: node["id"] for node in json.loads(client.succeed("wh node ls --json", timeout=60))}


internet.start()
internet.wait_for_unit("pebble.service")
start_all()
first_admin(control, client)
trust_ca(client)
join(client, worker2, "worker")
wait_online(client, "control", "worker2", "proxy1")
for host in (control, worker2, proxy1):
    check_tunnel(host)

deploy(client, "hello", "from before the night")
proxy_address = address_of(proxy1)
wait_served(client, HOST, proxy_address, "from before the night")
nodes, addresses = identities(), {host.name: address_of(host, "wh0") for host in (worker2, proxy1)}

with subtest("the app serves without control plane and database"):
    control.shutdown()
    client.succeed(https(HOST, proxy_address))

with subtest("worker and proxy come back by themselves, one of them from a power cut"):
    worker2.crash()
    proxy1.shutdown()
    client.fail(https(HOST, proxy_address))
    worker2.start()
    proxy1.start()
    wait_served(client, HOST, proxy_address, "from before the night")
    for host in (worker2, proxy1):
        t.assertEqual(address_of(host, "wh0"), addresses[host.name])
        check_tunnel(host)

with subtest("nothing runs twice"):
    running = containers(worker2)
    t.assertEqual(len(running), 1)

with subtest("all are the nodes they were when the control plane is back, and the container stays"):
    control.start()
    control.wait_for_unit("wisehosting-control-plane.service", timeout=180)
    wait_online(client, "control", "worker2", "proxy1")
    t.assertEqual(identities(), nodes)
    retry(lambda _: [one["state"] for one in of_app(client, "hello", "ps")] == ["healthy"], 60)
    t.assertEqual(containers(worker2), running)

with subtest("changes are possible again"):
    deploy(client, "hello", "good morning")
    wait_served(client, HOST, proxy_address, "good morning")
