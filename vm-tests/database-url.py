URL = "http://127.0.0.1:8082"


def status(path: str) -> str:
    return control.succeed(f"curl -s -o /dev/null -w '%{{http_code}}' --max-time 20 {URL}{path}", timeout=60)


def restarts() -> str:
    return control.get_unit_property("wisehosting-control-plane.service", "NRestarts")


database.start()
database.wait_for_unit("postgresql.service", timeout=120)
control.start()

with subtest("the URL is in a file that only root can read, and nothing runs here"):
    control.wait_for_unit("wisehosting-control-plane.service", timeout=180)
    t.assertEqual(control.succeed("stat -c '%a %U' /var/lib/secrets/database-url").strip(), "400 root")
    control.fail("pgrep -x postgres")
    control.fail("grep -rF 's%40cret' /etc/wisehosting /etc/systemd/system")
    control.fail("systemctl show wisehosting-control-plane.service | grep -F 's%40cret'")
    first_admin(control, control)

with subtest("without the database the API refuses, and the process stays"):
    before, process = restarts(), control.get_unit_property("wisehosting-control-plane.service", "MainPID")
    database.succeed("systemctl stop postgresql.service")
    retry(lambda _last: status("/readyz") == "503", 30)
    t.assertEqual(status("/health"), "200")
    control.fail("wh node ls", timeout=60)

with subtest("with the database it works again, by itself"):
    database.succeed("systemctl start postgresql.service")
    control.wait_until_succeeds(f"curl -sf {URL}/readyz && wh node ls", timeout=30)

with subtest("a host that goes without a word is an outage too"):
    database.crash()
    retry(lambda _last: status("/readyz") == "503", 60)
    database.start()
    control.wait_until_succeeds(f"curl -sf {URL}/readyz && wh node ls", timeout=90)
    t.assertEqual(restarts(), before)
    t.assertEqual(control.get_unit_property("wisehosting-control-plane.service", "MainPID"), process)
