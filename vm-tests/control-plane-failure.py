STEADY = "steady.route.wise.test"
SLOW = "slow.route.wise.test"
LINES = 60


def said() -> list[str]:
    """The lines of the slow build, as the deployment's log has them."""
    log = of_app(client, "slow", "deployments show 1 --log")["log"]
    return [line["text"] for line in log if line["text"].startswith("line ")]


def built() -> set[str]:
    """The images of builds that came to their end."""
    return set(worker1.succeed("podman images --filter dangling=false --format '{{.Repository}}:{{.Tag}}'", timeout=60).split())


def lives(*units: tuple[Host, str]) -> list[tuple[str, str]]:
    return [(host.get_unit_property(unit, "MainPID"), host.get_unit_property(unit, "NRestarts")) for host, unit in units]


agents = [
    (worker1, "wisehosting-mesh.service"),
    (worker1, "wisehosting-worker.service"),
    (proxy1, "wisehosting-mesh.service"),
    (proxy1, "wisehosting-proxy.service"),
]

internet.start()
internet.wait_for_unit("pebble.service")
start_all()
first_admin(control, client)
trust_ca(client)
wait_online(client, "control", "worker1", "proxy1")
proxy = address_of(proxy1)
deploy(client, "steady", "I stay")
wait_served(client, STEADY, proxy, "I stay")
alive = lives(*agents)
begin_asking(client, STEADY, proxy)

with subtest("a build goes on to its end while the control plane has no power"):
    source(client, "slow", "built")
    say = f"i=0; while [ $i -lt {LINES} ]; do i=$((i + 1)); echo line $i; /bin/busybox sleep 0.3; done"
    step = "RUN " + json.dumps(["/bin/busybox", "sh", "-c", say])
    client.succeed(f"cd /root/slow && sed -i {shlex.quote('/^USER/i ' + step)} Containerfile && wh deploy . --detach", timeout=120)
    retry(lambda _: len(said()) > 3, 60)
    images = built()
    control.crash()
    retry(lambda _: len(built() - images) == 1, 120)

with subtest("back again, it has every line of the build once, and brings the deployment live"):
    control.start()
    control.wait_for_unit("wisehosting-control-plane.service", timeout=180)
    wait_online(client, "control", "worker1", "proxy1")
    retry(lambda _: of_app(client, "slow", "deployments show 1")["state"] == "live", 120)
    t.assertEqual(said(), [f"line {number}" for number in range(1, LINES + 1)])
    wait_served(client, SLOW, proxy, "built")

with subtest("a restart of the database is got over without anybody's help"):
    control.succeed("systemctl restart postgresql.service", timeout=120)
    wait_online(client, "control", "worker1", "proxy1")
    deploy(client, "slow", "with the new database")
    wait_served(client, SLOW, proxy, "with the new database")

with subtest("a database that dies is too"):
    control.succeed("systemctl kill --signal=KILL --kill-whom=main postgresql.service", timeout=60)
    control.succeed("systemctl restart postgresql.service", timeout=120)
    wait_online(client, "control", "worker1", "proxy1")
    deploy(client, "slow", "and with the next one")
    wait_served(client, SLOW, proxy, "and with the next one")

with subtest("all the time the app was served, and no agent restarted"):
    asked, failed = end_asking(client)
    t.assertGreater(asked, 50)
    t.assertEqual(failed, 0)
    t.assertEqual(lives(*agents), alive)
