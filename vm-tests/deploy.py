import time

GIT = "hello.route.wise.test"
IMAGE = "packed.route.wise.test"
GIT_URL = "git://forge/hello.git"


def write(app: str, text: str) -> None:
    client.succeed(f"echo {shlex.quote(text)} > /root/{app}/www/index.html")


def push(text: str) -> str:
    """Pushes a commit after which the app says `text`; the commit."""
    write("hello", text)
    author = "-c user.name=Ops -c user.email=ops@wise.test"
    client.succeed(f"cd /root/hello && git add . && git {author} commit --quiet --message 'Say it' && git push --quiet {GIT_URL} main", timeout=60)
    return client.succeed("git -C /root/hello rev-parse HEAD").strip()


def push_image(tag: str, text: str) -> str:
    """Builds an image that says `text` and puts it into the registry; its reference for a deployment."""
    write("packed", text)
    client.succeed(f"cd /root/packed && podman build --quiet --tag localhost/packed:{tag} .", timeout=120)
    target = f"forge:5000/packed:{tag}"
    client.succeed(f"skopeo copy --dest-tls-verify=false containers-storage:localhost/packed:{tag} docker://{target}", timeout=120)
    return target


def release(app: str) -> dict[str, Any]:
    (current,) = [release for release in of_app(client, app, "releases") if release["current"]]
    return current


internet.start()
internet.wait_for_unit("pebble.service")
start_all()
first_admin(control, client)
trust_ca(client)
wait_online(client, "control", "worker1", "proxy1")
proxy = address_of(proxy1)
forge.succeed("runuser -u git -- git init --quiet --bare --initial-branch=main /srv/git/hello.git")
forge.wait_for_open_port(9418, timeout=60)
forge.wait_for_open_port(5000, timeout=60)

with subtest("a pushed commit is built and live, and known by its name"):
    source(client, "hello", "first")
    client.succeed("git init --quiet --initial-branch=main /root/hello")
    commit = push("from the first commit")
    client.succeed(f"cd /root/hello && wh deploy --git {GIT_URL}", timeout=300)
    wait_served(client, GIT, proxy, "from the first commit")
    t.assertEqual(release("hello")["commit"], commit)

with subtest("the next commit takes over without a failed request"):
    begin_asking(client, GIT, proxy)
    commit = push("from the second commit")
    client.succeed(f"cd /root/hello && wh deploy --git {GIT_URL}", timeout=300)
    wait_served(client, GIT, proxy, "from the second commit")
    asked, failed = end_asking(client)
    t.assertGreater(asked, 10)
    t.assertEqual(failed, 0)
    t.assertEqual(release("hello")["commit"], commit)

with subtest("a rollback takes seconds, and no build"):
    started = time.monotonic()
    client.succeed("cd /root/hello && wh rollback", timeout=60)
    wait_served(client, GIT, proxy, "from the first commit")
    t.assertLess(time.monotonic() - started, 20)
    t.assertEqual(release("hello")["number"], 1)

with subtest("a commit that does not serve leaves the old release in service"):
    begin_asking(client, GIT, proxy)
    client.succeed("cd /root/hello && sed -i 's/\"8080\"/\"8081\"/' Containerfile && printf 'start_within_s = 5\\n' >> wisehosting.toml")
    push("never to be seen")
    status, _ = client.execute(f"cd /root/hello && wh deploy --git {GIT_URL}", timeout=300)
    t.assertEqual(status, 6)
    client.succeed(f"{https(GIT, proxy)} | grep -F 'from the first commit'")
    asked, failed = end_asking(client)
    t.assertGreater(asked, 10)
    t.assertEqual(failed, 0)
    t.assertEqual(release("hello")["number"], 1)

with subtest("an image of the registry is pulled and live"):
    source(client, "packed", "first")
    client.succeed(f"cd /root/packed && wh deploy --image {push_image('1', 'from the first image')}", timeout=300)
    wait_served(client, IMAGE, proxy, "from the first image")

with subtest("the next image takes over without a failed request"):
    begin_asking(client, IMAGE, proxy)
    client.succeed(f"cd /root/packed && wh deploy --image {push_image('2', 'from the second image')}", timeout=300)
    wait_served(client, IMAGE, proxy, "from the second image")
    asked, failed = end_asking(client)
    t.assertGreater(asked, 10)
    t.assertEqual(failed, 0)

with subtest("a rollback goes to the image that was"):
    client.succeed("cd /root/packed && wh rollback", timeout=60)
    wait_served(client, IMAGE, proxy, "from the first image")
