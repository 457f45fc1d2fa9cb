MARKERS = "/root/markers"

# Where a value shows that reached a service in the wrong way: commands whose output is searched.
PLACES = {
    "journal": "journalctl --boot --no-pager --output=cat",
    "units": "systemctl show '*' --no-pager; systemctl cat '*' --no-pager",
    "environments": "cat /proc/[0-9]*/environ",
    "command lines": "cat /proc/[0-9]*/cmdline",
    "configuration files": "systemctl show '*' --property=ExecStart --no-pager | grep -oE '/[^ ;\"]+[.](json|toml|yaml|yml)' | sort -u | xargs cat",
    "files for everybody": "setpriv --reuid=nobody --clear-groups grep --recursive --no-messages --binary-files=text '' /etc /home /root /run /srv /tmp /var",
}


def leaks(machine):
    """The places where one of the secrets in the file of markers shows."""
    found = set()
    for place, command in PLACES.items():
        search = f"{{ {command}; }} 2> /dev/null | grep --text --count --fixed-strings --file={MARKERS} || true"
        if int(machine.succeed(search, timeout=120)) > 0:
            found.add(place)
    return found


def mode(machine, path):
    return machine.succeed(f"stat -c '%a %U %G' {path}").strip()


def active(machine, unit):
    return machine.wait_until_succeeds(f"systemctl is-active {unit}", timeout=60)


start_all()
control.wait_for_unit("wisehosting-control-plane.service", timeout=180)
address = address_of(control)
ca = control.succeed("cat /secrets/ca.crt")
for machine, path in [(client, "/root/ca.crt"), (worker, "/var/lib/test-ca.crt")]:
    machine.succeed(f"echo {shlex.quote(ca)} > {path}")

with subtest("files of root alone are enough for every credential of the control plane"):
    for name in ["api-server-secret", "proxy-token", "database-url", "tls.crt", "tls.key"]:
        t.assertEqual(mode(control, f"/secrets/{name}"), "400 root root")
    # It has no copies of what it was given.
    control.fail("grep -r -F -f /secrets/api-server-secret /var/lib/wisehosting")
    control.fail("test -e /var/lib/wisehosting/control-plane/secrets/proxy_token")

with subtest("the database is the one of the URL, opened by its password"):
    tables = "select count(*) from pg_stat_activity where usename = 'wisehosting' and client_addr = '127.0.0.1'"
    t.assertGreater(int(control.succeed(f"runuser -u postgres -- psql -Atc {shlex.quote(tables)}")), 0)
    control.fail("psql postgres://wisehosting:wrong@127.0.0.1/wisehosting -c 'select 1'")

with subtest("the proxy token is the one of the file"):
    ask = "curl -sS -o /dev/null -w '%{http_code}' http://10.50.0.1:8081/v1/traefik/proxy-config"
    t.assertEqual(control.succeed(ask), "401")
    t.assertEqual(control.succeed(f"{ask} -H \"authorization: Bearer $(cat /secrets/proxy-token)\""), "200")

with subtest("the dashboard speaks TLS 1.3 with the certificate of the file, and nothing older"):
    talk = f"openssl s_client -connect {address}:8080 -CAfile /secrets/ca.crt -verify_return_error"
    t.assertIn("Verify return code: 0", control.succeed(f"{talk} -tls1_3 < /dev/null", timeout=30))
    older = control.fail(f"{talk} -tls1_2 < /dev/null 2>&1", timeout=30)
    t.assertIn("protocol version", older)
    client.succeed(f"curl -sSf --cacert /root/ca.crt https://{address}:8080/ -o /dev/null")
    client.fail(f"curl -sSf --cacert /root/ca.crt http://{address}:8080/ -o /dev/null")

with subtest("a host whose join token is not there yet waits for it"):
    active(worker, "wisehosting-mesh.service")
    worker.fail("test -e /secrets/join-token")

with subtest("it joins by a token that root alone reads"):
    account = {"email": "ops@wise.test", "name": "Ops", "password": PASSWORD, "organization": "Test"}
    account["code"] = control.succeed("wisehosting-admin setup-code --bare", timeout=60).strip()
    body = shlex.quote(json.dumps(account))
    client.succeed(f"curl -sSf --cacert /root/ca.crt -H 'content-type: application/json' -d {body} https://{address}:8080/api/v1/setup")
    wh = "WH_CA_FILE=/root/ca.crt wh"
    client.succeed(f"echo {shlex.quote(PASSWORD)} | {wh} login https://{address}:8080 --email ops@wise.test --password-stdin")
    token = json.loads(client.succeed(f"{wh} node token create --role worker --json"))["token"]
    worker.succeed(f"mkdir /secrets && (umask 0377; echo {token} > /secrets/join-token)")
    t.assertEqual(mode(worker, "/secrets/join-token"), "400 root root")
    worker.succeed("systemctl restart wisehosting-mesh.service", timeout=60)
    worker.wait_for_file("/var/lib/wisehosting/mesh/identity.json", timeout=60)
    client.wait_until_succeeds(f"{wh} node ls | grep -E 'worker.*online'", timeout=60)

with subtest("the token may be gone once the host has joined"):
    worker.succeed("cp /secrets/join-token /root/used-token && rm /secrets/join-token")
    worker.succeed("systemctl restart wisehosting-mesh.service", timeout=60)
    worker.wait_until_succeeds("ping -c 1 -W 1 10.50.0.1", timeout=60)

with subtest("what the hosts make themselves is readable by its owner, and where needed by its group"):
    for path, expected in [
        ("mesh", "750 wisehosting-mesh wisehosting"),
        ("mesh/private.key", "600 wisehosting-mesh wisehosting"),
        ("mesh/identity.json", "640 wisehosting-mesh wisehosting"),
        ("worker", "700 root root"),
    ]:
        t.assertEqual(mode(worker, f"/var/lib/wisehosting/{path}"), expected, path)
    t.assertEqual(mode(control, "/var/lib/wisehosting/control-plane"), "700 wisehosting wisehosting")

with subtest("no secret shows in the journal, in units, in any process or in a file for everybody"):
    control.succeed(
        f"(umask 0077; cd /secrets; cat api-server-secret proxy-token password > {MARKERS};"
        f" grep -v -e '-----' tls.key >> {MARKERS}; cat /var/lib/wisehosting/mesh/private.key >> {MARKERS})"
    )
    worker.succeed(f"(umask 0077; cat /root/used-token /var/lib/wisehosting/mesh/private.key > {MARKERS})")
    for machine in [control, worker]:
        t.assertGreater(int(machine.succeed(f"grep -cE '.{{40}}' {MARKERS}")), 1)
        t.assertEqual(leaks(machine), set(), machine.name)

with subtest("a secret that is given in the wrong way is found in all of these places"):
    for machine in [control, worker]:
        machine.succeed(
            f"secret=$(head -n 1 {MARKERS}); echo $secret > /etc/leak; (umask 0077; echo $secret > /run/leak.json);"
            " systemd-run --unit=leak --setenv=LEAK=$secret sh -c 'echo $0; sleep infinity' $secret /run/leak.json"
        )
        machine.wait_until_succeeds("journalctl --unit=leak --output=cat | grep -F -f /etc/leak", timeout=20)
        t.assertEqual(leaks(machine), set(PLACES), machine.name)
