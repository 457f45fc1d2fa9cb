API = "http://127.0.0.1:8082/api/v1"
BACKUPS = "/var/lib/wisehosting/backup"
SECRET = "/var/lib/wisehosting/control-plane/secrets/api_server_secret"


def call(method, path, body=None, token=None):
    command = f"curl -sSf -X {method} {API}{path}"
    if token is not None:
        command += f" -H 'authorization: Bearer {token}'"
    if body is not None:
        command += f" -H 'content-type: application/json' -d {shlex.quote(json.dumps(body))}"
    return json.loads(control.succeed(command))


def value_of(name, token):
    answer = call("GET", "/apps/shop/env?reveal=true", token=token)
    return {v["name"]: v["value"] for v in answer["variables"]}[name]


def dumps(pattern="wisehosting-*.dump"):
    return control.succeed(f"find {BACKUPS} -name '{pattern}' | sort").split()


def schemas():
    query = "select nspname from pg_namespace where nspname like 'before_restore_%'"
    return control.succeed(f"runuser -u wisehosting -- psql -XAtc {shlex.quote(query)}").split()


def restore(arguments):
    return control.succeed(f"wisehosting-restore --confirm wisehosting {arguments} 2>&1", timeout=120)


start_all()
database.wait_for_open_port(5432)
first_admin(control, control)

with subtest("the first start has nothing to dump and is not held up"):
    assert dumps() == [], dumps()
    control.succeed(f"test -s {BACKUPS}/.control-plane-version")

login = {"name": "test", "email": "ops@wise.test", "password": PASSWORD}
token = call("POST", "/tokens", login)["token"]
call("POST", "/apps", {"slug": "shop"}, token)
call("PATCH", "/apps/shop/env", {"set": {"KEY": "before"}}, token)

with subtest("a dump is made, private, and taken elsewhere"):
    control.succeed("systemctl start wisehosting-backup.service", timeout=120)
    [dump] = dumps()
    assert control.succeed(f"stat -c '%a %U' {dump}").strip() == "600 wisehosting"
    assert control.succeed(f"stat -c '%a %U' {BACKUPS}").strip() == "700 wisehosting"
    control.succeed(f"cmp {dump} /var/lib/elsewhere/{dump.split('/')[-1]}")
    control.succeed(f"pg_restore --list {dump} | grep app_variables")
    control.succeed("systemctl is-enabled wisehosting-backup.timer")

with subtest("the secret is kept, and not in the dump"):
    control.succeed(f"cmp {SECRET} /var/lib/secret-copy/api_server_secret")
    assert control.succeed("stat -c %a /var/lib/secret-copy/api_server_secret").strip() == "600"
    control.fail(f"pg_restore --file=- {dump} | grep -F -f {SECRET}")

with subtest("the time of the dump is there for the node exporter"):
    metrics = control.succeed("cat /var/lib/wisehosting/metrics/backup.prom")
    made = float(metrics.split("wisehosting_backup_last_success_seconds ")[-1].split()[0])
    assert abs(made - float(control.succeed("date +%s"))) < 300, metrics
    control.succeed("setpriv --reuid=nobody --clear-groups cat /var/lib/wisehosting/metrics/backup.prom")

with subtest("what changed since the dump is undone by a restore, and kept beside"):
    call("PATCH", "/apps/shop/env", {"set": {"KEY": "after"}}, token)
    control.fail(f"wisehosting-restore --confirm another {dump}")
    assert value_of("KEY", token) == "after"
    restore(dump)
    assert value_of("KEY", token) == "before"
    [kept] = schemas()
    restore(f"--undo {kept}")
    assert value_of("KEY", token) == "after"

with subtest("a damaged dump is refused before anything stops"):
    pid = control.succeed("systemctl show -P MainPID wisehosting-control-plane.service")
    control.succeed(f"head -c 4000 {dump} > /tmp/cut.dump")
    control.fail("wisehosting-restore --confirm wisehosting /tmp/cut.dump")
    control.fail("wisehosting-restore --confirm wisehosting /etc/hostname")
    assert control.succeed("systemctl show -P MainPID wisehosting-control-plane.service") == pid
    assert value_of("KEY", token) == "after"

with subtest("a dump that breaks off changes nothing, and the control plane is back"):
    control.succeed(f"head -c $(($(stat -c %s {dump}) - 2000)) {dump} > /tmp/cut.dump && pg_restore --list /tmp/cut.dump")
    before = schemas()
    control.fail("wisehosting-restore --confirm wisehosting /tmp/cut.dump", timeout=120)
    assert value_of("KEY", token) == "after"
    assert schemas() == before, schemas()

with subtest("another version starts only after a dump"):
    control.succeed(f"echo older > {BACKUPS}/.control-plane-version")
    control.succeed("systemctl restart wisehosting-control-plane.service", timeout=120)
    assert len(dumps("*-before-upgrade.dump")) == 1, dumps()
    control.succeed("systemctl restart wisehosting-control-plane.service", timeout=120)
    assert len(dumps("*-before-upgrade.dump")) == 1, "once per version"

with subtest("a wiped database comes back whole"):
    control.succeed("systemctl stop wisehosting-control-plane.service")
    control.succeed("runuser -u postgres -- dropdb wisehosting")
    restore(dump)
    assert value_of("KEY", token) == "before"
    apps = call("GET", "/apps", token=token)["items"]
    assert [app["slug"] for app in apps] == ["shop"], apps

with subtest("another secret is refused, with the reason, and starting again is not tried"):
    control.succeed("systemctl stop wisehosting-control-plane.service && systemctl reset-failed")
    control.succeed(f"mv {SECRET} /root/the-secret")
    control.fail("systemctl start wisehosting-control-plane.service", timeout=120)
    assert control.succeed("systemctl show -P ExecMainStatus wisehosting-control-plane.service").strip() == "78"
    assert control.succeed("systemctl show -P ActiveState wisehosting-control-plane.service").strip() == "failed"
    control.succeed("journalctl -u wisehosting-control-plane.service -n 20 | grep 'credential api_server_secret is not the one'")
    control.fail("curl -sf http://127.0.0.1:8082/health")
    control.succeed(f"cat /var/lib/secret-copy/api_server_secret > {SECRET}")
    control.succeed("systemctl start wisehosting-control-plane.service", timeout=120)
    assert value_of("KEY", token) == "before"

with subtest("old dumps go, the newest stay however old they are"):
    control.succeed(f"touch -d '40 days ago' {BACKUPS}/*.dump")
    control.succeed(f"touch -d '40 days ago' {BACKUPS}/wisehosting-20200101T000000Z.dump {BACKUPS}/.left.part")
    control.succeed("systemctl start wisehosting-backup.service", timeout=120)
    assert len(dumps()) == 2, dumps()
    assert dumps(".left.part") == []

with subtest("what restores kept is not in new dumps"):
    assert schemas() != []
    control.fail(f"pg_restore --list {dumps()[-1]} | grep before_restore_")
    control.succeed(f"pg_restore --list {dumps()[-1]} | grep 'TABLE DATA public app_variables'")

with subtest("a dump that cannot be made is seen"):
    control.succeed(f"chown root {BACKUPS}")
    control.fail("systemctl start wisehosting-backup.service", timeout=120)
    control.succeed("systemctl --failed --plain | grep wisehosting-backup.service")

with subtest("a database on another host is dumped and restored, and its password is in no log"):
    remote.wait_for_unit("wisehosting-control-plane.service", timeout=180)
    remote.succeed("systemctl start wisehosting-backup.service", timeout=120)
    dump = remote.succeed(f"ls {BACKUPS}/wisehosting-*.dump").strip()
    remote.succeed(f"wisehosting-restore --confirm wisehosting {dump}", timeout=120)
    query = "select count(*) from pg_namespace where nspname like 'before_restore_%'"
    kept = database.succeed(f"runuser -u postgres -- psql -XAt wisehosting -c {shlex.quote(query)}").strip()
    assert kept == "1", kept
    remote.fail("journalctl --no-pager | grep -e 'p@ss' -e 'p%40ss'")

with subtest("an upgrade waits for the database that it cannot dump, and goes on by itself"):
    database.systemctl("stop postgresql.service")
    remote.succeed(f"echo older > {BACKUPS}/.control-plane-version")
    remote.systemctl("restart wisehosting-control-plane.service")
    remote.fail("systemctl is-active wisehosting-control-plane.service")
    database.systemctl("start postgresql.service")
    remote.wait_until_succeeds("systemctl is-active wisehosting-control-plane.service", timeout=120)
    remote.succeed(f"ls {BACKUPS}/*-before-upgrade.dump")
