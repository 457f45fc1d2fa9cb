HOST = "hello.route.wise.test"
FOLDER = "/var/lib/wisehosting/traefik"
API = "http://127.0.0.1:8079/api/http"
# Of the app's latest deployment.
STATE = "cd /root/hello && wh deployments --json | jq -r '.[0].state' | grep -Fx"

internet.start()
internet.wait_for_unit("pebble.service")
start_all()
first_admin(control, client)
trust_ca(client)
wait_online(client, "control", "worker1", "proxy1")
proxy = address_of(proxy1)

with subtest("an app gets its certificate and is served by Traefik"):
    proxy1.wait_for_unit("wisehosting-traefik.service")
    deploy(client, "hello", "served by Traefik")
    wait_served(client, HOST, proxy, "served by Traefik")
    # The built-in engine redirects with 308.
    client.succeed(
        f"curl -sS -o /dev/null -w '%{{http_code}} %{{redirect_url}}' --resolve {HOST}:80:{proxy} http://{HOST}/"
        f" | grep -Fx '301 https://{HOST}/'"
    )
    proxy1.succeed(f"curl -sS --fail {API}/routers | jq -e '.[] | select(.rule == \"Host(`{HOST}`)\")'")

with subtest("a route that Traefik does not serve yet is not acknowledged"):
    before = proxy1.succeed(f"stat -c %i {FOLDER}/dynamic.yaml").strip()
    proxy1.succeed("systemctl kill --signal=STOP wisehosting-traefik.service")
    client.succeed("cd /root/hello && echo 'the second release' > www/index.html && wh deploy . --detach", timeout=60)
    proxy1.wait_until_succeeds(f"test $(stat -c %i {FOLDER}/dynamic.yaml) != {before}", timeout=180)
    proxy1.sleep(3)
    client.succeed(f"{STATE} rolling-out")
    proxy1.succeed("systemctl kill --signal=CONT wisehosting-traefik.service")
    client.wait_until_succeeds(f"{STATE} live", timeout=60)
    client.succeed(f"{https(HOST, proxy)} | grep -F 'the second release'")

with subtest("keys are for Traefik's group alone, and not in what everybody can read"):
    t.assertEqual(proxy1.succeed(f"stat -c '%a %U %G' {FOLDER}").strip(), "2750 wisehosting-proxy wisehosting-traefik")
    owner = proxy1.succeed(f"stat -c '%a %U %G' {FOLDER}/dynamic.yaml").strip()
    t.assertEqual(owner, "640 wisehosting-proxy wisehosting-traefik")
    proxy1.succeed(f"runuser -u wisehosting-traefik -- cat {FOLDER}/dynamic.yaml > /dev/null")
    proxy1.fail(f"runuser -u nobody -- cat {FOLDER}/dynamic.yaml")
    proxy1.fail(f"runuser -u wisehosting-traefik -- touch {FOLDER}/dynamic.yaml")
    # In a file, because a key in a command would be found in the list of processes.
    proxy1.succeed(f"umask 077; jq -r '.tls.certificates[0].keyFile' {FOLDER}/dynamic.yaml | sed -n 2p > /root/key")
    t.assertGreater(len(proxy1.succeed("cat /root/key").strip()), 20)
    static = proxy1.succeed("systemctl show -p ExecStart wisehosting-traefik.service | grep -oE '/nix/store/[^ ;]*traefik.yaml' | head -n 1").strip()
    proxy1.succeed(f"jq -e .entryPoints.websecure {static}")
    proxy1.fail(f"grep -E 'PRIVATE|[Tt]oken|[Pp]assword' {static}")
    proxy1.fail(f"grep -RFf /root/key {static} /etc/systemd/system")
    proxy1.fail("(systemctl show '*'; journalctl --no-pager; ps axeww; curl -sS http://127.0.0.1:8079/api/rawdata) | grep -Ff /root/key")

with subtest("Traefik's access log does not grow for ever while the agent is stopped"):
    log = f"{FOLDER}/access.log"
    proxy1.succeed("systemctl stop wisehosting-proxy.service")
    proxy1.succeed(f"test -s {log} && systemctl start wisehosting-traefik-log.service && test -s {log}")
    # As large as what is emptied, without the disk for it.
    proxy1.succeed(f"truncate --size=65M {log} && systemctl start wisehosting-traefik-log.service")
    proxy1.succeed(f"test $(stat -c %s {log}) -lt 65536")
    proxy1.succeed("systemctl is-active wisehosting-traefik-log.timer wisehosting-traefik.service")
    proxy1.succeed("systemctl start wisehosting-proxy.service")

with subtest("metrics are for the mesh, the API for the host itself"):
    control.wait_until_succeeds("curl -sS --fail --max-time 5 http://10.50.0.21:8092/metrics | grep -F traefik_service_requests_total", timeout=60)
    for port in [8078, 8079, 8092]:
        client.fail(f"curl -sS --max-time 3 http://{proxy}:{port}/")
    proxy1.succeed("systemd-analyze security --no-pager --threshold=20 wisehosting-traefik.service")

with subtest("a worker's zone is answered by a Traefik of its own, once it has its token"):
    client.succeed("wh zone add de.wise.test --worker worker1", timeout=60)
    deploy(client, "near", "by the worker's Traefik")
    client.succeed("wh zone move de.wise.test --app near", timeout=60)
    near = f"curl -sS --fail --max-time 5 --resolve near.de.wise.test:8080:{address_of(worker1)} http://near.de.wise.test:8080/"
    token = client.succeed("wh route-token create w1 --worker worker1", timeout=60).strip()
    worker1.succeed(f"mkdir -m 0700 /secrets && (umask 0377; echo {token} > /secrets/route-token)")
    client.wait_until_succeeds(f"{near} | grep -F 'by the worker'", timeout=60)
    t.assertEqual(worker1.succeed("stat -c '%a' /run/wisehosting-worker-traefik/traefik.yaml").strip(), "600")
    worker1.fail("(systemctl show '*'; journalctl --no-pager; ps axeww) | grep -Ff /secrets/route-token")
    # The node's key is in it.
    as_traefik = "runuser -u wisehosting-worker-traefik --"
    worker1.succeed(f"{as_traefik} cat /run/wisehosting-worker-traefik/traefik.yaml > /dev/null")
    worker1.fail(f"{as_traefik} cat /var/lib/wisehosting/mesh/identity.json")
    worker1.succeed("systemd-analyze security --no-pager --threshold=20 wisehosting-worker-traefik.service")
    worker1.succeed("systemctl restart wisehosting-worker-traefik.service")
    client.wait_until_succeeds(near, timeout=60)

with subtest("routes survive the control plane's crash, Traefik's restart and a reboot"):
    control.crash()
    proxy1.succeed("systemctl restart wisehosting-traefik.service wisehosting-proxy.service")
    wait_served(client, HOST, proxy, "the second release")
    proxy1.crash()
    proxy1.start()
    wait_served(client, HOST, proxy, "the second release")
