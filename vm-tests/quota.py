GREEDY = "x=x; while :; do x=$x$x; done"


def write(app, run, resources):
    """The folder of an app that does `run` in a shell."""
    command = json.dumps(["/bin/busybox", "sh", "-c", run])
    project = f'app = "{app}"\n[run]\nport = 8080\ncommand = {command}\n[resources]\n{resources}\n'
    single.succeed(
        f"mkdir -p /root/{app} && cp -rL /etc/hello/. /root/{app} && cd /root/{app} && chmod -R u+w ."
        f" && echo {shlex.quote(project)} > wisehosting.toml"
    )


def failure_of(app):
    """What a deployment that must fail says of its failure."""
    single.fail(f"cd /root/{app} && wh deploy . 2>&1", timeout=400)
    return json.loads(single.succeed(f"cd /root/{app} && wh deployments show --json", timeout=60))["failure"]


def container_of(app):
    return single.succeed(f"podman ps --quiet --filter label=wisehosting.app={app}").strip()


def limit(app, name):
    """A file of the container's cgroup."""
    path = single.succeed(f"podman inspect --format '{{{{.State.CgroupPath}}}}' {container_of(app)}").strip()
    return single.succeed(f"cat /sys/fs/cgroup{path}/{name} || cat /sys/fs/cgroup{path}/container/{name}").strip()


def counter(app, name, key):
    return int(dict(line.split() for line in limit(app, name).splitlines())[key])


start_all()
single.wait_for_unit("wisehosting-control-plane.service", timeout=600)
first_admin(single, single)
wait_online(single, "single")

with subtest("an app runs under the limits that it asks for, without swap"):
    write("modest", "exec /bin/busybox httpd -f -p 8080 -h /www", "memory_mb = 64\ncpu_millis = 200\npids = 24")
    single.succeed("cd /root/modest && wh deploy . 2>&1", timeout=400)
    t.assertEqual(limit("modest", "memory.max"), str(64 * 1024 * 1024))
    t.assertEqual(limit("modest", "memory.swap.max"), "0")
    t.assertEqual(limit("modest", "pids.max"), "24")
    t.assertEqual(limit("modest", "cpu.max"), "20000 100000")
    modest = container_of("modest")

with subtest("an app over its memory is ended, and its deployment says so"):
    write("greedy", GREEDY, "memory_mb = 48")
    failure = failure_of("greedy")
    t.assertTrue(failure["out_of_memory"], failure)
    t.assertIn("48", failure["message"] + failure["hint"])
    single.succeed("journalctl -k | grep 'Memory cgroup out of memory'")

with subtest("an app that fails for another reason is not called out of memory"):
    write("broken", "exit 3", "memory_mb = 48")
    failure = failure_of("broken")
    t.assertFalse(failure["out_of_memory"], failure)
    t.assertEqual(failure["exit_code"], 3)

with subtest("a build over its memory is ended, and its deployment says so"):
    write("builder", "true", "memory_mb = 48")
    step = "RUN " + json.dumps(["/bin/busybox", "sh", "-c", GREEDY])
    single.succeed(f"cd /root/builder && echo {shlex.quote(step)} > step && sed -i '/^COPY busybox/r step' Containerfile")
    failure = failure_of("builder")
    t.assertTrue(failure["out_of_memory"], failure)

with subtest("an app makes as many processes as it may, and no more"):
    fork = "i=0; while [ $i -lt {} ]; do /bin/busybox sleep 5 & i=$((i+1)); done; wait"
    before = counter("modest", "pids.events", "max")
    single.succeed(f"podman exec {modest} /bin/busybox sh -c '{fork.format(10)}'", timeout=60)
    t.assertEqual(counter("modest", "pids.events", "max"), before)
    single.execute(f"podman exec {modest} /bin/busybox sh -c '{fork.format(40)}'", timeout=60)
    t.assertGreater(counter("modest", "pids.events", "max"), before)

with subtest("an app gets its share of a processor, and no more"):
    burn = "timeout 10 {} sh -c 'while :; do :; done'"
    outside = single.succeed(f"TIMEFORMAT=%U; {{ time {burn.format('')} || true; }} 2>&1").split()[-1]
    t.assertGreater(float(outside), 4)
    used, throttled = (counter("modest", "cpu.stat", key) for key in ["usage_usec", "nr_throttled"])
    single.execute(f"podman exec {modest} /bin/busybox {burn.format('/bin/busybox')}", timeout=60)
    t.assertLess(counter("modest", "cpu.stat", "usage_usec") - used, 3_000_000)
    t.assertGreater(counter("modest", "cpu.stat", "nr_throttled"), throttled)

with subtest("its neighbours' greed did not touch it"):
    t.assertEqual(container_of("modest"), modest)
    t.assertEqual(counter("modest", "memory.events", "oom_kill"), 0)
