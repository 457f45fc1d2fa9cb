HOST = "once.route.wise.test"


def places() -> list[str]:
    """The workers of its healthy instances."""
    return sorted(one["node"]["name"] for one in of_app(client, "once", "ps") if one["state"] == "healthy")


start_all()
first_admin(control, client)
join(client, worker2, "worker")
wait_online(client, "worker1", "worker2", "proxy1")
proxy = address_of(proxy1)
deploy(client, "once", "just me")
client.wait_until_succeeds(http(HOST, proxy), timeout=60)
(place,) = places()
worker, other = (worker1, worker2) if place == "worker1" else (worker2, worker1)

with subtest("an app of a worker without power is served by another one, once it was waited for"):
    worker.crash()
    client.wait_until_succeeds(f"{http(HOST, proxy)} | grep -F 'just me'", timeout=300)
    t.assertEqual(len(containers(other)), 1)
    t.assertEqual(places(), [other.name])
    t.assertNotEqual(nodes_of(client)[place], "online")

with subtest("with the power the worker is back, and ends what is elsewhere now"):
    worker.start()
    wait_online(client, place)
    worker.wait_until_succeeds("test -z \"$(podman ps --quiet)\"", timeout=120)
    t.assertEqual(places(), [other.name])
    client.succeed(f"{http(HOST, proxy)} | grep -F 'just me'")
