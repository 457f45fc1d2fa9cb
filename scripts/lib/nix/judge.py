"""Judges what evaluate.nix found: hosts, options, tests. Prints what it looked at, then what is wrong.

usage: judge.py FOLDER    with <part>.json and tests/<name>.json; unit files and scripts are put beside them
"""

import json
import re
import subprocess
import sys
from pathlib import Path

folder = Path(sys.argv[1])
here = Path(__file__).parent
found = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
problems: list[str] = []

# systemd's scale from 0 (closed) to 10. The worker is root, because rootful Podman is.
EXPOSURE = {"default": 2.0, "wisehosting-worker.service": 9.0}

OUTPUTS = ["apps", "checks", "devShells", "formatter", "lib", "nixosConfigurations", "nixosModules", "overlays", "packages", "templates"]
MODULES = ["control-plane", "default", "mesh", "proxy", "worker"]


def run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    return done.stdout + done.stderr


def judge_outputs() -> None:
    names = found["names"]
    problems.extend(f"the flake has no output `{output}`" for output in OUTPUTS if output not in names)
    modules = names.get("nixosModules", [])
    problems.extend(f"nixosModules.{module} is missing" for module in MODULES if module not in modules)


def judge_unit(host: str, path: Path) -> None:
    # A program of a package that was not built is not there; everything else that systemd says counts.
    for line in run("systemd-analyze", "verify", "--man=no", "--generators=no", str(path)).splitlines():
        if str(path) in line and not re.search(r"is not executable|Failed to (load|create)|not found", line):
            problems.append(f"{host}: {line.removeprefix(str(path.parent) + '/')}")
    if path.suffix != ".service":
        return
    score = re.search(r"Overall exposure level.*: ([0-9.]+)", run("systemd-analyze", "security", "--offline=true", "--no-pager", str(path)))
    if score is None:
        problems.append(f"{host}: systemd-analyze security gives no score for {path.name}")
        return
    limit = EXPOSURE.get(path.name, EXPOSURE["default"])
    print(f"    exposure {score[1]:>4}  {path.name}")
    if float(score[1]) > limit:
        problems.append(f"{host}: {path.name} has exposure {score[1]}, more than {limit}: `systemd-analyze security` lists what to close")


def judge_hosts() -> None:
    for name, host in found["hosts"].items():
        print(f"  host {name}: {host['toplevel']}")
        problems.extend(f"{name}: assertion failed: {message}" for message in host["assertions"])
        problems.extend(f"{name}: warning: {message}" for message in host["warnings"] if "wisehosting" in message.lower())
        problems.extend(f"{name}: a credential in the store: {entry}" for entry in host["credentials"] if ":/nix/store/" in entry)
        units = folder / "units" / name
        units.mkdir(parents=True, exist_ok=True)
        for unit, text in host["units"].items():
            (units / unit).write_text(text)
        for path in sorted(units.glob("wisehosting*")):
            judge_unit(name, path)


def judge_options() -> None:
    options = found["options"]
    print(f"  {len(options)} options")
    problems.extend(f"option {option['name']} has no description" for option in options if not option["described"])
    problems.extend(f"option {option['name']} has neither default nor example" for option in options if not option["exemplified"])


def judge_tests() -> None:
    types = (here / "driver.py").read_text()
    for path in sorted((folder / "tests").glob("*.json")):
        name, test = path.stem, json.loads(path.read_text())
        print(f"  test {name}: {' '.join(test['machines'])}")
        machines = "".join(f"{re.sub('[^A-Za-z0-9_]', '_', machine)}: Machine\n" for machine in test["machines"])
        if len(test["machines"]) == 1:
            machines += "machine: Machine\n"
        prefix = types + machines
        script = folder / f"{name.replace('-', '_')}.py"
        script.write_text(prefix + test["script"])
        said = run(sys.executable, "-m", "mypy", "--no-error-summary", "--check-untyped-defs", "--cache-dir", str(folder / "mypy"), str(script))
        problems.extend(f"{name}: {line}" for line in said.splitlines() if ": error:" in line or "No module named" in line)


judge_outputs()
judge_hosts()
judge_options()
judge_tests()
print(f"  checks: {' '.join(found['checks'])}")
print(f"  apps: {' '.join(found['apps'])}")
print(f"  packages: {' '.join(found['packages'])}")
problems.extend(f"does not hold: {fact}" for fact in found["broken"])
for problem in problems:
    print(f"  ✗ {problem}")
sys.exit(1 if problems else 0)
