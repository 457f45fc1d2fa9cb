# Words that the tests share; put in front of every script.
import json
import shlex
from typing import Protocol

PASSWORD = "correct horse battery staple"


class Host(Protocol):
    """What the words below need of a machine; virtual machines and containers have it."""

    def execute(
        self, command: str, check_return: bool = True, check_output: bool = True, timeout: int | None = 900
    ) -> tuple[int, str]: ...
    def succeed(self, *commands: str, timeout: int | None = None) -> str: ...
    def wait_until_succeeds(self, command: str, timeout: int = 900) -> str: ...
    def wait_for_unit(self, unit: str, user: str | None = None, timeout: int = 900) -> None: ...


def address_of(machine: Host, interface: str = "eth1") -> str:
    """Its first address there; `eth1` is the test's network."""
    return machine.succeed(f"ip -4 -o address show {interface} | grep -oE 'inet [0-9.]+' | head -n 1").split()[1]


def first_admin(control: Host, client: Host) -> None:
    """Opens the first-run page with the code that only root of the host can get, and signs `client` in."""
    control.wait_for_unit("wisehosting-control-plane.service", timeout=180)
    # `wh` sends a password in clear text only to a literal private address.
    url = f"http://{address_of(control)}:8080"
    code = control.succeed("wisehosting-admin setup-code --bare", timeout=60).strip()
    account = {"code": code, "email": "ops@wise.test", "name": "Ops", "password": PASSWORD, "organization": "Test"}
    body = shlex.quote(json.dumps(account))
    client.succeed(f"curl -sS --fail-with-body -H 'content-type: application/json' -d {body} {url}/api/v1/setup", timeout=60)
    client.succeed(f"echo {shlex.quote(PASSWORD)} | wh login {url} --email ops@wise.test --password-stdin", timeout=60)


def nodes_of(client: Host) -> dict[str, str]:
    """Name and status of every node, as `wh` shows them."""
    return {node["name"]: node["status"] for node in json.loads(client.succeed("wh node ls --json", timeout=60))}


def wait_online(client: Host, *names: str) -> None:
    def online(_last: bool) -> bool:
        nodes = nodes_of(client)
        return all(nodes.get(name) == "online" for name in names)

    retry(online, 120)


def join(client: Host, host: Host, role: str) -> None:
    """Joins `host` by a new token, as the command that the control plane prints does."""
    token = json.loads(client.succeed(f"wh node token create --role {role} --json", timeout=60))["token"]
    host.wait_for_unit("wisehosting-mesh.service", timeout=120)
    host.succeed(f"echo {token} | install -m 0600 -o wisehosting-mesh /dev/stdin /var/lib/wisehosting/mesh/join-token")


def deploy(client: Host, name: str, text: str) -> None:
    """Deploys an app that answers with `text`, and waits for its end."""
    client.succeed(
        f"mkdir -p /root/{name} && cp -rL /etc/hello/. /root/{name} && cd /root/{name} && chmod -R u+w . "
        f"&& sed -i 's/^app = .*/app = \"{name}\"/' wisehosting.toml && echo {shlex.quote(text)} > www/index.html && wh deploy .",
        timeout=300,
    )


def trust_ca(client: Host) -> None:
    client.wait_until_succeeds("curl -sSk --fail https://acme.test:15000/roots/0 -o /tmp/ca.pem", timeout=60)


def https(host: str, address: str) -> str:
    """A request to the app, its certificate checked against the tests' CA."""
    return f"curl -sS --fail --max-time 5 --cacert /tmp/ca.pem --resolve {host}:443:{address} https://{host}/"


def wait_served(client: Host, host: str, address: str, text: str) -> None:
    client.wait_until_succeeds(f"{https(host, address)} | grep -F {shlex.quote(text)}", timeout=90)


def begin_asking(client: Host, host: str, address: str) -> None:
    """Asks without a pause, until `end_asking`."""
    loop = f"while [ ! -e /tmp/enough ]; do {https(host, address)} > /dev/null && echo ok || echo failed; done"
    client.succeed(f"rm -f /tmp/enough; ({loop}) > /tmp/asked 2> /tmp/errors &")


def end_asking(client: Host) -> tuple[int, int]:
    """How many requests there were, and how many of them failed."""
    client.succeed("touch /tmp/enough")
    lines = client.succeed("cat /tmp/asked").split()
    return len(lines), lines.count("failed")
