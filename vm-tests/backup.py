import json

API = "http://127.0.0.1:8082/api/v1"
BACKUPS = "/var/lib/wisehosting/backup"
SECRET = "/var/lib/wisehosting/control-plane/secrets/api_server_secret"
PASSWORD = "correct horse battery"


def call(method, path, body=None, token=None):
    command = f"curl -sSf -X {method} {API}{path}"
    if token is not None:
        command += f" -H 'authorization: Bearer {token}'"
    if body is not None:
        command += f" -H 'content-type: application/json' -d '{json.dumps(body)}'"
    return json.loads(cp.succeed(command))


def value_of(name, token):
    answer = call("GET", "/apps/shop/env?reveal=true", token=token)
    return {v["name"]: v["value"] for v in answer["variables"]}[name]


def dumps(pattern="wisehosting-*.dump"):
    return cp.succeed(f"find {BACKUPS} -name '{pattern}' | sort").split()


def restore(arguments):
    return cp.succeed(f"wisehosting-restore --confirm wisehosting {arguments} 2>&1", timeout=120)


start_all()
cp.wait_for_unit("wisehosting-control-plane.service", timeout=180)

with subtest("the first start has nothing to dump and is not held up"):
    assert dumps() == [], dumps()
    cp.succeed(f"test -s {BACKUPS}/.control-plane-version")

code = cp.succeed("wisehosting-admin setup-code --bare").strip()
call("POST", "/setup", {"code": code, "email": "a@wise.test", "name": "A", "password": PASSWORD, "organization": "Acme"})
token = call("POST", "/tokens", {"name": "test", "email": "a@wise.test", "password": PASSWORD})["token"]
call("POST", "/apps", {"slug": "shop"}, token)
call("PATCH", "/apps/shop/env", {"set": {"KEY": "before"}}, token)

with subtest("a dump is made, private, and taken elsewhere"):
    cp.succeed("systemctl start wisehosting-backup.service", timeout=120)
    [dump] = dumps()
    assert cp.succeed(f"stat -c '%a %U' {dump}").strip() == "600 wisehosting"
    assert cp.succeed(f"stat -c '%a %U' {BACKUPS}").strip() == "700 wisehosting"
    cp.succeed(f"cmp {dump} /var/lib/elsewhere/{dump.split('/')[-1]}")
    cp.succeed(f"pg_restore --list {dump} | grep app_variables")
    cp.succeed("systemctl is-enabled wisehosting-backup.timer")

with subtest("the secret is kept, and not in the dump"):
    cp.succeed(f"cmp {SECRET} /var/lib/secret-copy/api_server_secret")
    assert cp.succeed("stat -c %a /var/lib/secret-copy/api_server_secret").strip() == "600"
    cp.fail(f"pg_restore --file=- {dump} | grep -F -f {SECRET}")

with subtest("the time of the dump is there for the node exporter"):
    metrics = cp.succeed("cat /var/lib/wisehosting/metrics/backup.prom")
    made = float(metrics.split("wisehosting_backup_last_success_seconds ")[-1].split()[0])
    assert abs(made - float(cp.succeed("date +%s"))) < 300, metrics
    cp.succeed("setpriv --reuid=nobody --clear-groups cat /var/lib/wisehosting/metrics/backup.prom")

with subtest("what changed since the dump is undone by a restore, and kept beside"):
    call("PATCH", "/apps/shop/env", {"set": {"KEY": "after"}}, token)
    cp.fail(f"wisehosting-restore --confirm another {dump}")
    assert value_of("KEY", token) == "after"
    restore(dump)
    assert value_of("KEY", token) == "before"
    kept = cp.succeed("runuser -u postgres -- psql -XAtc \"select datname from pg_database where datname like '%before_restore%'\"").strip()
    restore(f"--undo {kept}")
    assert value_of("KEY", token) == "after"

with subtest("a damaged dump is refused before anything stops"):
    pid = cp.succeed("systemctl show -P MainPID wisehosting-control-plane.service")
    cp.succeed(f"head -c 4000 {dump} > /tmp/cut.dump")
    cp.fail("wisehosting-restore --confirm wisehosting /tmp/cut.dump")
    cp.fail("wisehosting-restore --confirm wisehosting /etc/hostname")
    assert cp.succeed("systemctl show -P MainPID wisehosting-control-plane.service") == pid
    assert value_of("KEY", token) == "after"

with subtest("another version starts only after a dump"):
    cp.succeed(f"echo older > {BACKUPS}/.control-plane-version")
    cp.succeed("systemctl restart wisehosting-control-plane.service", timeout=120)
    assert len(dumps("*-before-upgrade.dump")) == 1, dumps()
    cp.succeed("systemctl restart wisehosting-control-plane.service", timeout=120)
    assert len(dumps("*-before-upgrade.dump")) == 1, "once per version"

with subtest("a wiped database comes back whole"):
    cp.succeed("systemctl stop wisehosting-control-plane.service")
    cp.succeed("runuser -u postgres -- dropdb wisehosting")
    restore(dump)
    assert value_of("KEY", token) == "before"
    apps = call("GET", "/apps", token=token)["items"]
    assert [app["slug"] for app in apps] == ["shop"], apps

with subtest("another secret is refused, with the reason, and starting again is not tried"):
    cp.succeed("systemctl stop wisehosting-control-plane.service && systemctl reset-failed")
    cp.succeed(f"mv {SECRET} /root/the-secret")
    cp.fail("systemctl start wisehosting-control-plane.service", timeout=120)
    assert cp.succeed("systemctl show -P ExecMainStatus wisehosting-control-plane.service").strip() == "78"
    assert cp.succeed("systemctl show -P ActiveState wisehosting-control-plane.service").strip() == "failed"
    cp.succeed("journalctl -u wisehosting-control-plane.service -n 20 | grep 'credential api_server_secret is not the one'")
    cp.fail("curl -sf http://127.0.0.1:8082/health")
    cp.succeed(f"cat /var/lib/secret-copy/api_server_secret > {SECRET}")
    cp.succeed("systemctl start wisehosting-control-plane.service", timeout=120)
    assert value_of("KEY", token) == "before"

with subtest("old dumps go, the newest stay however old they are"):
    cp.succeed(f"touch -d '40 days ago' {BACKUPS}/*.dump")
    cp.succeed(f"touch -d '40 days ago' {BACKUPS}/wisehosting-20200101T000000Z.dump {BACKUPS}/.left.part")
    cp.succeed("systemctl start wisehosting-backup.service", timeout=120)
    assert len(dumps()) == 2, dumps()
    assert dumps(".left.part") == []

with subtest("a dump that cannot be made is seen"):
    cp.succeed(f"chown root {BACKUPS}")
    cp.fail("systemctl start wisehosting-backup.service", timeout=120)
    cp.succeed("systemctl --failed --plain | grep wisehosting-backup.service")
