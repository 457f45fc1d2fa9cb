mesh = {db1: "10.50.0.31", db2: "10.50.0.32", db3: "10.50.0.33"}
members = list(mesh)
# The member without power.
gone: Machine | None = None
LOCK = "select count(*) from pg_locks where locktype = 'advisory' and granted"


def leads(member: Machine) -> bool:
    status, _ = member.execute(f"curl -sf --max-time 3 -o /dev/null http://{mesh[member]}:8008/primary", timeout=10)
    return status == 0


def leader() -> Machine:
    return next(member for member in members if member is not gone and leads(member))


def wait_whole(member: Machine) -> None:
    """All three are members again, and one of the two that follow has every acknowledged change."""

    def whole(_last: bool) -> bool:
        status, text = member.execute("patronictl list --format json", timeout=30)
        roles = sorted((m["Role"], m["State"]) for m in json.loads(text)) if status == 0 else []
        return roles == [("Leader", "running"), ("Replica", "streaming"), ("Sync Standby", "streaming")]

    retry(whole, 180)


def sql(query: str) -> str:
    return leader().succeed(f"psql -h /run/postgresql -U postgres -Atd wisehosting -c {shlex.quote(query)}", timeout=60)


def answers() -> list[tuple[float, str, str]]:
    lines = [line.split() for line in control.succeed("cat /tmp/answers").splitlines()]
    return [(float(time), slug, answer) for time, slug, answer in lines]


def made() -> int:
    return sum(answer == "made" for _, _, answer in answers())


def wait_made(more: int, timeout: int) -> None:
    enough = made() + more
    retry(lambda _last: made() >= enough, timeout)


start_all()

with subtest("the members find each other without a control plane, and one leads"):
    for member in members:
        member.wait_for_unit("patroni.service", timeout=180)
    wait_whole(db1)

with subtest("the control plane follows the leader, with a password that only root can read"):
    first_admin(control, control)
    t.assertEqual(control.succeed("stat -c '%a %U' /var/lib/secrets/database").strip(), "400 root")
    t.assertEqual(sql("select pg_get_userbyid(datdba) from pg_database where datname = 'wisehosting'").strip(), "wisehosting")
    t.assertEqual(sql(LOCK).strip(), "1")

with subtest("the cluster is backed up and restored through its leader"):
    control.succeed("systemctl start wisehosting-backup.service", timeout=120)
    control.succeed(
        "wisehosting-restore --confirm wisehosting /var/lib/wisehosting/backup/wisehosting-*.dump", timeout=180
    )
    control.succeed("wh whoami", timeout=60)

with subtest("each member tells Prometheus whether it leads"):
    query = "curl -sSfG http://127.0.0.1:9090/api/v1/query --data-urlencode 'query=sort_desc(patroni_primary)'"

    def one_leads(_last: bool) -> bool:
        result = json.loads(control.succeed(query))["data"]["result"]
        return [int(series["value"][1]) for series in result] == [1, 0, 0]

    retry(one_leads, 60)

with subtest("database and agreement are for the mesh, and there for those who need them"):
    for member, address in mesh.items():
        for port in [2379, 2380, 5432, 8008]:
            control.fail(f"nc -z -w 1 {address_of(member)} {port}")
        for port in [2379, 2380]:
            control.fail(f"nc -z -w 1 {address} {port}")
    there = mesh[leader()]
    control.fail(f"PGPASSWORD=another psql -h {there} -U replicator -d wisehosting -c 'select 1'", timeout=30)
    control.fail(f"curl -sf --max-time 5 -X POST http://{there}:8008/restart -d '{{}}'", timeout=30)

account = shlex.quote(json.dumps({"name": "load", "email": "ops@wise.test", "password": PASSWORD}))
token = json.loads(control.succeed(f"curl -sS --fail-with-body -H 'content-type: application/json' -d {account} http://127.0.0.1:8082/api/v1/tokens"))["token"]
process = control.get_unit_property("wisehosting-control-plane.service", "MainPID")
control.succeed(f"make-projects http://127.0.0.1:8082/api/v1/projects {token} > /tmp/load.log 2>&1 &")
control.wait_for_file("/tmp/answers", timeout=30)

with subtest("changes go on within 30 seconds after the leader's host is gone"):
    wait_made(50, timeout=60)
    gone = lost = leader()
    lost.crash()
    wait_made(50, timeout=90)

with subtest("the former leader comes back as one that follows"):
    lost.start()
    gone = None
    wait_whole(next(member for member in members if member is not lost))
    t.assertFalse(leads(lost))

with subtest("a planned change of the leader goes by as well"):
    leader().succeed("patronictl switchover --force", timeout=120)
    wait_made(50, timeout=90)
    wait_whole(db1)

with subtest("a Postgres that dies under load is replaced or started again"):
    # The first line of the file is the id of the server's first process.
    data = sql("show data_directory").strip()
    leader().succeed(f"kill -KILL $(head -n 1 {shlex.quote(data)}/postmaster.pid)")
    wait_made(50, timeout=90)

control.succeed("touch /tmp/enough")
told = answers()

with subtest("no acknowledged change is lost"):
    kept = set(sql("select slug from projects where slug like 'load-%'").split())
    promised = {slug for _, slug, answer in told if answer == "made"}
    t.assertGreaterEqual(len(promised), 200)
    t.assertEqual(promised - kept, set())

with subtest("what could not be made was refused as worth trying again, and no pause was longer than 30 seconds"):
    t.assertEqual({answer for _, _, answer in told} - {"made", "503"}, set())
    times = [time for time, _, answer in told if answer == "made"]
    longest = max(after - before for before, after in zip(times, times[1:]))
    print(f"{len(promised)} changes acknowledged, {len(told) - len(promised)} refused, longest pause {longest:.1f} s")
    t.assertLess(longest, 30)

with subtest("the control plane went through it without a restart, and leads its loops again"):
    t.assertEqual(control.get_unit_property("wisehosting-control-plane.service", "MainPID"), process)
    control.succeed("curl -sf http://127.0.0.1:8082/readyz")
    retry(lambda _last: sql(LOCK).strip() == "1", 30)
