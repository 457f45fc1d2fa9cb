STOCK = "http://stock.shop.internal"


def place(app: str, project: str, worker: str) -> None:
    """Deploys an app of `project` on `worker`."""
    client.succeed(f"wh apps create {app} --project {project}", timeout=60)
    source(client, app, app)
    pin = f"\n[placement]\npin = \"{worker}\"\n"
    client.succeed(f"cd /root/{app} && printf %s {shlex.quote(pin)} >> wisehosting.toml && wh deploy . 2>&1", timeout=300)


def inside(worker: Host, app: str, *command: str) -> str:
    """Runs busybox in the app's container."""
    container = worker.succeed(f"podman ps --quiet --filter label=wisehosting.app={app} | head -n 1").strip()
    return f"podman exec {container} /bin/busybox {shlex.join(command)}"


def ask(worker: Host, app: str, url: str) -> str:
    return inside(worker, app, "wget", "-q", "-T", "5", "-O", "-", url)


start_all()
first_admin(control, client)
join(client, worker2, "worker")
wait_online(client, "control", "worker1", "worker2")
make_projects(control, client, "shop", "office")
place("stock", "shop", "worker2")
place("till", "shop", "worker1")
place("desk", "office", "worker1")

with subtest("an app of the project is reached by its name, on another worker"):
    worker1.wait_until_succeeds(f"{ask(worker1, 'till', STOCK)} | grep -Fx stock", timeout=60)
    worker1.succeed(f"{ask(worker1, 'till', f'{STOCK}:8080')} | grep -Fx stock")

with subtest("for an app of another project neither the name nor the address leads there"):
    known = worker1.succeed(inside(worker1, "till", "nslookup", "stock.shop.internal"))
    address = known.split("Address")[-1].split(":", 1)[1].split()[0]
    worker1.fail(inside(worker1, "desk", "nslookup", "stock.shop.internal"))
    worker1.fail(ask(worker1, "desk", f"http://{address}/"))

with subtest("a grant opens one app, and its end closes it"):
    client.succeed("wh network grant office shop/stock", timeout=60)
    worker1.wait_until_succeeds(f"{ask(worker1, 'desk', STOCK)} | grep -Fx stock", timeout=60)
    worker1.fail(ask(worker1, "desk", "http://till.shop.internal"))
    client.succeed("wh network revoke office shop/stock", timeout=60)
    worker1.wait_until_fails(ask(worker1, "desk", STOCK), timeout=60)

with subtest("names go on while the worker's agent is stopped, and a restart of it changes nothing"):
    before = containers(worker1)
    worker1.succeed("systemctl stop wisehosting-worker.service", timeout=60)
    worker1.succeed(f"{ask(worker1, 'till', STOCK)} | grep -Fx stock")
    worker1.succeed("systemctl start wisehosting-worker.service", timeout=60)
    wait_online(client, "worker1")
    worker1.succeed(f"{ask(worker1, 'till', STOCK)} | grep -Fx stock")
    t.assertEqual(containers(worker1), before)

with subtest("a reload of the host's firewall keeps the private network"):
    worker1.succeed("systemctl reload nftables.service", timeout=60)
    worker1.succeed(f"{ask(worker1, 'till', STOCK)} | grep -Fx stock")
