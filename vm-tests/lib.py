# Words that the tests share; put in front of every script.
import json
import shlex
from collections.abc import Callable
from typing import Any, Protocol

PASSWORD = "correct horse battery staple"


class Host(Protocol):
    """What the words below need of a machine; virtual machines and containers have it."""

    name: str

    def execute(
        self, command: str, check_return: bool = True, check_output: bool = True, timeout: int | None = 900
    ) -> tuple[int, str]: ...
    def succeed(self, *commands: str, timeout: int | None = None) -> str: ...
    def wait_until_succeeds(self, command: str, timeout: int = 900) -> str: ...
    def wait_for_unit(self, unit: str, user: str | None = None, timeout: int = 900) -> None: ...
    def get_unit_property(self, unit: str, property: str, user: str | None = None) -> str: ...


def address_of(machine: Host, interface: str = "eth1") -> str:
    """Its first address there; `eth1` is the test's network."""
    return machine.succeed(f"ip -4 -o address show {interface} | grep -oE 'inet [0-9.]+' | head -n 1").split()[1]


def first_admin(control: Host, client: Host) -> None:
    """Opens the first-run page with the code that only root of the host can get, and signs `client` in."""
    control.wait_for_unit("wisehosting-control-plane.service", timeout=600)
    # Its network is up.
    client.wait_for_unit("multi-user.target", timeout=600)
    # `wh` sends a password in clear text only to a literal private address.
    url = f"http://{address_of(control)}:8080"
    code = control.succeed("wisehosting-admin setup-code --bare", timeout=60).strip()
    account = {"code": code, "email": "ops@wise.test", "name": "Ops", "password": PASSWORD, "organization": "Test"}
    body = shlex.quote(json.dumps(account))
    client.succeed(f"curl -sS --fail-with-body -H 'content-type: application/json' -d {body} {url}/api/v1/setup", timeout=60)
    client.succeed(f"echo {shlex.quote(PASSWORD)} | wh login {url} --email ops@wise.test --password-stdin", timeout=60)


def nodes_of(client: Host) -> dict[str, str]:
    """Name and status of every node, as `wh` shows them once the control plane answers."""
    nodes = json.loads(client.wait_until_succeeds("wh node ls --json", timeout=60))
    return {node["name"]: node["status"] for node in nodes}


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


def check_tunnel(host: Host) -> None:
    """The tunnel is the kernel's where the kernel has WireGuard, else a process; WireGuard's own tool knows either."""
    in_kernel = host.execute("test -d /sys/module/wireguard")[0] == 0
    (link,) = json.loads(host.succeed("ip -json -details link show wh0"))
    t.assertEqual(link["linkinfo"]["info_kind"], "wireguard" if in_kernel else "tun")
    t.assertEqual(host.succeed("wg show wh0 public-key"), host.succeed("cat /var/lib/wisehosting/mesh/public.key"))


def make_projects(control: Host, client: Host, *names: str) -> None:
    url = f"http://{address_of(control)}:8080/api/v1"
    account = shlex.quote(json.dumps({"name": "test", "email": "ops@wise.test", "password": PASSWORD}))
    send = "curl -sS --fail-with-body -H 'content-type: application/json'"
    token = json.loads(client.succeed(f"{send} -d {account} {url}/tokens", timeout=60))["token"]
    for name in names:
        body = shlex.quote(json.dumps({"slug": name}))
        client.succeed(f"{send} -H 'authorization: Bearer {token}' -d {body} {url}/projects", timeout=60)


def source(client: Host, name: str, text: str) -> None:
    """The folder of an app that answers with `text`."""
    client.succeed(
        f"mkdir -p /root/{name} && cp -rL /etc/hello/. /root/{name} && cd /root/{name} && chmod -R u+w . "
        f"&& sed -i 's/^app = .*/app = \"{name}\"/' wisehosting.toml && echo {shlex.quote(text)} > www/index.html"
    )


def deploy(client: Host, name: str, text: str) -> None:
    """Deploys an app that answers with `text`, and waits for its end."""
    source(client, name, text)
    client.succeed(f"cd /root/{name} && wh deploy . 2>&1", timeout=300)


def of_app(client: Host, name: str, words: str) -> Any:
    """What `wh` tells of the app."""
    return json.loads(client.succeed(f"cd /root/{name} && wh {words} --json", timeout=60))


def containers(worker: Host) -> set[str]:
    """Those that run, of whatever app."""
    return set(worker.succeed("podman ps --quiet --no-trunc", timeout=60).split())


def trust_ca(client: Host) -> None:
    client.wait_until_succeeds("curl -sSk --fail https://acme.test:15000/roots/0 -o /tmp/ca.pem", timeout=60)


def https(host: str, address: str) -> str:
    """A request to the app, its certificate checked against the tests' CA."""
    return f"curl -sS --fail --max-time 5 --cacert /tmp/ca.pem --resolve {host}:443:{address} https://{host}/"


def http(host: str, address: str) -> str:
    """The same where there is no CA."""
    return f"curl -sS --fail --max-time 5 --resolve {host}:80:{address} http://{host}/"


def wait_served(client: Host, host: str, address: str, text: str) -> None:
    client.wait_until_succeeds(f"{https(host, address)} | grep -F {shlex.quote(text)}", timeout=300)


def begin_asking(client: Host, host: str, address: str, request: Callable[[str, str], str] = https) -> None:
    """Asks without a pause, until `end_asking`."""
    loop = f"while [ ! -e /tmp/enough ]; do {request(host, address)} > /dev/null && echo ok || echo failed; done"
    client.succeed(f"rm -f /tmp/enough; ({loop}) > /tmp/asked 2> /tmp/errors &")


def end_asking(client: Host) -> tuple[int, int]:
    """How many requests there were, and how many of them failed."""
    client.succeed("touch /tmp/enough")
    lines = client.succeed("cat /tmp/asked").split()
    return len(lines), lines.count("failed")
