PUBLIC = "198.51.100.40:9999"
# Prints those of the addresses that take a connection.
LOOK = """
for address in "$@"; do
  (if /bin/busybox nc -w 2 ${address%:*} ${address##*:} < /dev/null > /dev/null 2>&1; then echo "open $address"; fi) &
done
wait
"""


def inspect(app, query):
    containers = f"podman ps --quiet --filter label=wisehosting.app={app} | head -n 1"
    return worker1.succeed(f"{containers} | xargs podman inspect --format {shlex.quote(query)}").strip()


def inside(app):
    return inspect(app, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}") + ":8080"


def opened(output):
    return {line.split("open ")[1].strip() for line in output.splitlines() if "open " in line}


def from_host(targets):
    tries = [target.split(":") for target in targets]
    look = " ".join(f"(nc -z -w 2 {address} {port} && echo open {address}:{port} || true) &" for address, port in tries)
    return opened(worker1.succeed(f"{look} wait", timeout=60))


def from_container(app, targets):
    look = f"/bin/busybox sh -c {shlex.quote(LOOK)} look {' '.join(sorted(targets))}"
    return opened(worker1.succeed(f"podman exec {inspect(app, '{{.Id}}')} {look}", timeout=120))


def from_build(targets):
    """What a RUN step says; each look is another step, so that none comes from the cache."""
    step = json.dumps(["/bin/busybox", "sh", "-c", LOOK, "look", *sorted(targets)])
    client.succeed(
        "cp -rL /etc/hello/. /root/build && cd /root/build && chmod -R u+w . "
        f"&& echo {shlex.quote('RUN ' + step)} > step && sed -i '/^COPY busybox/r step' Containerfile "
        "&& sed -i 's/^app = .*/app = \"build\"/' wisehosting.toml && wh deploy .",
        timeout=300,
    )
    log = client.succeed("cd /root/build && wh deployments show --log", timeout=60)
    t.assertIn("COPY www", log)
    return opened("\n".join(line for line in log.splitlines() if "STEP" not in line))


start_all()
first_admin(control, client)
wait_online(client, "control", "worker1")
for machine in [worker1, world]:
    machine.wait_for_unit("greeting.service", timeout=60)
world.wait_for_unit("dns.service", timeout=60)

make_projects(control, client, "one", "two")
for app, project in [("shop", "one"), ("cart", "one"), ("other", "two")]:
    client.succeed(f"wh apps create {app} --project {project}", timeout=60)
    deploy(client, app, app)

published = worker1.succeed(f"podman port {inspect('other', '{{.Id}}')} 8080").strip()
bridge = inspect("shop", "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}")
forbidden = {
    "control plane on the mesh": "10.50.0.1:8081",
    "worker on the mesh": "10.50.0.11:8090",
    "app on the mesh": published,
    "host by its bridge": f"{bridge}:9999",
    "host by its address": f"{address_of(worker1)}:9999",
    "host by its other address": f"{address_of(worker1, 'eth2')}:9999",
    "LAN": f"{address_of(world)}:9999",
    "control plane in the LAN": f"{address_of(control)}:8080",
    "metadata of the cloud": "169.254.169.254:9999",
}
allowed = {PUBLIC, f"{address_of(world, 'eth2')}:9999"}

with subtest("everything that is looked for is there"):
    others = {inside(app) for app in ["shop", "cart", "other"]}
    everything = {*forbidden.values(), *allowed, *others}
    t.assertEqual(from_host(everything), everything)

with subtest("an app reaches the Internet and the network that the operator opened, and nothing of the host"):
    t.assertEqual(from_container("shop", {*forbidden.values(), *allowed}), allowed)

with subtest("an app reaches the apps of its project, and not those of another"):
    t.assertEqual(from_container("shop", {inside("cart"), inside("other")}), {inside("cart")})
    t.assertEqual(from_container("other", {inside("cart"), inside("shop")}), set())

with subtest("an app finds names: those of the world, and the apps of its project"):
    names = {"public.test:9999", "cart.one.internal:8080"}
    t.assertEqual(from_container("shop", names | {"other.two.internal:8080"}), names)

with subtest("a build step reaches the Internet by name, and nothing of the host, the mesh or any app"):
    names = {"public.test:9999"}
    t.assertEqual(from_build({*forbidden.values(), *others, *allowed, *names}), allowed | names)

with subtest("it is the worker's table that keeps them in, and the worker puts it back"):
    worker1.succeed("systemctl stop wisehosting-worker.service && nft delete table inet wisehosting_worker", timeout=60)
    t.assertIn("10.50.0.1:8081", from_container("shop", set(forbidden.values())))
    worker1.succeed("systemctl start wisehosting-worker.service", timeout=60)
    worker1.wait_until_succeeds("nft list table inet wisehosting_worker", timeout=60)
    t.assertEqual(from_container("shop", {*forbidden.values(), *allowed}), allowed)
