TWICE = "twice.route.wise.test"
ONCE = "once.route.wise.test"


def places(app: str) -> list[str]:
    """The workers of its healthy instances."""
    return sorted(one["node"]["name"] for one in of_app(client, app, "ps") if one["state"] == "healthy")


def wait_status(name: str, online: bool) -> None:
    retry(lambda _: (nodes_of(client)[name] == "online") == online, 90)


internet.start()
internet.wait_for_unit("pebble.service")
start_all()
first_admin(control, client)
trust_ca(client)
join(client, worker2, "worker")
wait_online(client, "worker1", "worker2", "proxy1")
proxy = address_of(proxy1)

with subtest("replicas are on different workers"):
    source(client, "twice", "two of us")
    client.succeed("cd /root/twice && sed -i 's/^port = .*/&\\nreplicas = 2/' wisehosting.toml && wh deploy .", timeout=300)
    wait_served(client, TWICE, proxy, "two of us")
    t.assertEqual(places("twice"), ["worker1", "worker2"])

deploy(client, "once", "just me")
wait_served(client, ONCE, proxy, "just me")
(place,) = places("once")
worker = {"worker1": worker1, "worker2": worker2}[place]
running = containers(worker)
t.assertEqual(len(running), 2)

with subtest("a worker without network is noticed, and no request of those is lost that another can answer"):
    begin_asking(client, TWICE, proxy)
    worker.block()
    wait_status(place, online=False)
    asked, failed = end_asking(client)
    t.assertGreater(asked, 20)
    t.assertEqual(failed, 0)

with subtest("with the network its containers are back in service, the same ones"):
    worker.unblock()
    wait_status(place, online=True)
    wait_served(client, ONCE, proxy, "just me")
    retry(lambda _: places("twice") == ["worker1", "worker2"], 60)
    t.assertEqual(len(of_app(client, "twice", "ps")), 2)
    t.assertEqual(containers(worker), running)

with subtest("without power it is noticed too, and the other one serves"):
    worker.crash()
    wait_status(place, online=False)
    client.succeed(*[https(TWICE, proxy)] * 5)
    client.fail(https(ONCE, proxy))

with subtest("with the power its apps are back, each once"):
    worker.start()
    wait_served(client, ONCE, proxy, "just me")
    wait_status(place, online=True)
    retry(lambda _: places("twice") == ["worker1", "worker2"], 60)
    t.assertEqual((places("once"), len(of_app(client, "once", "ps"))), ([place], 1))
    t.assertEqual(len(of_app(client, "twice", "ps")), 2)
    t.assertEqual(len(containers(worker)), 2)
