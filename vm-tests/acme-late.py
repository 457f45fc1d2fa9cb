HOST = "hello.route.wise.test"


def certificate() -> dict[str, str | None]:
    return json.loads(client.succeed("wh apps ls --json", timeout=60))[0]["certificate"]


for machine in [control, worker1, proxy1, client]:
    machine.start()
first_admin(control, client)
wait_online(client, "control", "worker1", "proxy1")
address = address_of(proxy1)

with subtest("without a CA the app is deployed, and plain HTTP says that the certificate is on its way"):
    deploy(client, "hello", "late")
    client.wait_until_succeeds(f"curl -sS --resolve {HOST}:80:{address} http://{HOST}/ | grep -i certificate", timeout=60)
    client.fail(f"curl -sSk --max-time 5 --resolve {HOST}:443:{address} https://{HOST}/")

with subtest("the failed order is told with its cause"):

    def told(_last: bool) -> bool:
        return certificate()["state"] == "failed"

    retry(told, 120)
    t.assertIn("acme.test", str(certificate()))

with subtest("once the CA is there, the certificate comes by itself"):
    internet.start()
    internet.wait_for_unit("pebble.service")
    trust_ca(client)
    client.wait_until_succeeds(f"{https(HOST, address)} | grep late", timeout=300)
    t.assertEqual(certificate()["state"], "issued")
