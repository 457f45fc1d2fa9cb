def prometheus(path):
    return json.loads(control.succeed(f"curl -sSfG http://127.0.0.1:9090/api/v1/{path}"))["data"]


def value(expression):
    result = prometheus(f"query --data-urlencode 'query={expression}'")["result"]
    return {s["metric"].get("host", ""): float(s["value"][1]) for s in result}


def targets():
    active = prometheus("targets")["activeTargets"]
    return {(t["labels"]["job"], t["labels"]["host"]): t["health"] for t in active}


def until(what, seconds=120):
    retry(lambda _: what(), seconds)


def alerts(name, label, host):
    found = prometheus("alerts")["alerts"]
    return {a["state"] for a in found if a["labels"]["alertname"] == name and a["labels"].get(label) == host}


start_all()
first_admin(control, control)
wait_online(control, "control", "worker1")

with subtest("every target of the fleet is up"):
    wanted = {
        ("prometheus", "control"),
        ("wisehosting-control-plane", "control"),
        ("wisehosting-worker", "worker1"),
        ("node", "control"),
        ("node", "worker1"),
        ("postgres", "control"),
    }
    assert set(targets()) == wanted, targets()
    until(lambda: set(targets().values()) == {"up"})

with subtest("the programs tell what the dashboards show"):
    until(lambda: value("sum(wisehosting_node_online) == 2") != {})
    until(lambda: value("min(wisehosting_agent_connected) == 1") != {})
    assert value("wisehosting_mesh_peers > 0") != {}
    assert value("wisehosting_worker_build_slots") == {"worker1": 2.0}, value("wisehosting_worker_build_slots")
    assert value("pg_up") == {"control": 1.0}
    assert value('node_systemd_unit_state{name="wisehosting-worker.service",state="active"}') == {"worker1": 1.0}

with subtest("a backup is known to the alerts"):
    control.succeed("systemctl start wisehosting-backup.service", timeout=120)
    until(lambda: value("time() - wisehosting_backup_last_success_seconds < 300") != {})

with subtest("every panel of the dashboards is answered, and those of hosts and control plane show something"):
    # What this fleet has nothing of.
    silent = {"Instances by state", "Messages of agents that were refused", "Failed passes"}
    for file in control.succeed("ls /etc/dashboards/*.json").split():
        board = json.loads(control.succeed(f"cat {file}"))
        for panel in board["panels"]:
            for target in panel["targets"]:
                expression = target["expr"].replace("$app", ".*").replace("$host", ".*")
                answer = prometheus(f"query --data-urlencode {shlex.quote('query=' + expression)}")
                missing = not answer["result"] and panel["title"] not in silent
                if missing and board["uid"] in ("wh-host", "wh-control-plane"):
                    raise Exception(f"{board['title']}, {panel['title']}: nothing for {expression}")

with subtest("the rules are loaded, and nothing critical is wrong"):
    groups = prometheus("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 15, rules
    assert all(rule["health"] in ("ok", "unknown") for rule in rules), rules
    firing = [a for a in prometheus("alerts")["alerts"] if a["state"] == "firing" and a["labels"]["severity"] == "critical"]
    assert firing == [], firing

with subtest("Prometheus and the exporters are for the mesh alone"):
    for machine, host in [(outside, control), (outside, worker1), (worker1, control)]:
        for port in (9090, 9100, 9187):
            machine.fail(f"curl -s --max-time 2 http://{address_of(host)}:{port}/metrics")
    worker1.succeed("curl -sf --max-time 5 -o /dev/null http://10.50.0.1:9100/metrics")
    worker1.fail("curl -s --max-time 2 http://10.50.0.1:9090/metrics")
    # A neighbour that sends packets for the mesh to a member of it.
    outside.succeed(f"ip route add 10.50.0.0/24 via {address_of(control)}")
    outside.fail("curl -s --max-time 2 http://10.50.0.1:9100/metrics")

with subtest("a worker that is gone raises alerts by its name"):
    worker1.succeed("systemctl stop wisehosting-worker.service wisehosting-mesh.service prometheus-node-exporter.service")
    until(lambda: alerts("TargetDown", "host", "worker1"))
    until(lambda: "firing" in alerts("NodeOffline", "node", "worker1"), 240)
