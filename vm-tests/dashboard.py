import re

ORIGIN = ""


def ask(path, method="GET", body=None, headers=None):
    """Status, headers and body of one request by the client."""
    options = f"-X {method}" if method != "HEAD" else "--head"
    for name, value in (headers or {}).items():
        options += f" -H {shlex.quote(f'{name}: {value}')}"
    if body is not None:
        options += f" -H 'content-type: application/json' -d {shlex.quote(json.dumps(body))}"
    answer = client.succeed(f"curl -sS --include --max-time 20 {options} {ORIGIN}{path}", timeout=30)
    head, _, content = answer.replace("\r", "").partition("\n\n")
    lines = head.split("\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return int(lines[0].split()[1]), fields, content


def cookie_of(fields):
    name, *attributes = fields["set-cookie"].split("; ")
    return name, set(attributes)


start_all()
control.wait_for_unit("wisehosting-control-plane.service", timeout=180)
ORIGIN = f"http://{address_of(control)}:8080"

with subtest("every address of the dashboard is its page"):
    status, fields, page = ask("/")
    t.assertEqual((status, fields["content-type"]), (200, "text/html"))
    t.assertIn('<div id="root">', page)
    for path in ["/setup", "/apps/shop/deployments/3", "/nodes"]:
        t.assertEqual(ask(path)[2], page, path)

with subtest("the page and everything it loads is there, and may be kept for ever by its hash"):
    linked = re.findall(r'(?:src|href)="(/[^"]+)"', page)
    assets = {path for path in linked if path.startswith("/assets/")}
    t.assertGreaterEqual(len(assets), 2)
    for script in [path for path in assets if path.endswith(".js")]:
        assets |= {f"/{path}" for path in re.findall(r"assets/[\w.-]+\.(?:js|css)", ask(script)[2])}
    t.assertGreater(len(assets), 5)
    kinds = {"js": "text/javascript", "css": "text/css"}
    for path in sorted(assets):
        status, fields, content = ask(path)
        t.assertEqual(status, 200, path)
        t.assertIn(kinds[path.rsplit(".", 1)[1]], fields["content-type"], path)
        t.assertIn("immutable", fields["cache-control"], path)
        t.assertGreater(len(content), 0, path)
    for path in set(linked) - assets:
        t.assertEqual(ask(path)[0], 200, path)

with subtest("the page itself is asked for each time, and sent when it has changed"):
    _, fields, _ = ask("/")
    t.assertEqual(fields["cache-control"], "no-cache")
    status, _, content = ask("/", headers={"if-none-match": fields["etag"]})
    t.assertEqual((status, content), (304, ""))
    t.assertEqual(ask("/", headers={"if-none-match": '"another"'})[0], 200)

with subtest("the browser runs nothing but the dashboard's own files, in nobody's frame"):
    policy = {rule.split()[0]: rule.split()[1:] for rule in fields["content-security-policy"].split(";")}
    t.assertEqual(policy["default-src"], ["'self'"])
    t.assertEqual(policy["script-src"], ["'self'"])
    t.assertEqual(policy["frame-ancestors"], ["'none'"])
    t.assertEqual(policy["object-src"], ["'none'"])
    t.assertEqual(policy["base-uri"], ["'none'"])
    t.assertNotIn("unsafe", fields["content-security-policy"])
    # The page keeps to it.
    t.assertEqual(re.findall(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", page), [])

with subtest("security headers are on every answer, also on errors"):
    for path in ["/", "/assets/none.js", "/api/v1/session", "/api/v1/nothing"]:
        _, fields, _ = ask(path)
        t.assertEqual(fields["x-content-type-options"], "nosniff", path)
        t.assertEqual(fields["x-frame-options"], "DENY", path)
        t.assertEqual(fields["referrer-policy"], "same-origin", path)

with subtest("what is not there is a 404, in JSON"):
    for path in ["/assets/none.js", "/api/v1/nothing", "/api/v9/apps", "/v1/nothing"]:
        status, fields, content = ask(path)
        t.assertEqual((status, fields["content-type"]), (404, "application/json"), path)
        t.assertEqual(json.loads(content)["code"], "not_found", path)

with subtest("errors of the API say in JSON what is wrong and what to do"):
    status, _, content = ask("/api/v1/apps")
    error = json.loads(content)
    t.assertEqual((status, error["code"]), (401, "unauthenticated"))
    t.assertIn("wh login", error["hint"])
    wrong = {"code": "0" * 64, "email": "ops@wise.test", "name": "Ops", "password": PASSWORD, "organization": "Test"}
    status, _, content = ask("/api/v1/setup", "POST", wrong)
    t.assertGreaterEqual(status, 400)
    t.assertIn("message", json.loads(content))
    status, _, content = ask("/api/v1/session", "POST", {"email": 1})
    t.assertEqual((status, json.loads(content)["code"]), (422, "invalid"))

with subtest("the session is in a cookie that no script reads and no other site sends"):
    first_admin(control, client)
    status, fields, content = ask("/api/v1/session", "POST", {"email": "ops@wise.test", "password": PASSWORD})
    t.assertEqual(status, 200)
    cookie, attributes = cookie_of(fields)
    t.assertTrue(cookie.startswith("wh_session="))
    t.assertLessEqual({"HttpOnly", "Secure", "SameSite=Lax", "Path=/"}, attributes)
    t.assertNotIn(cookie.split("=")[1], content)
    status, _, content = ask("/api/v1/session", headers={"cookie": cookie})
    t.assertEqual(status, 200)
    t.assertIn("ops@wise.test", content)

with subtest("a change that another site sends along with the cookie is refused"):
    project = {"slug": "from-elsewhere"}
    status, _, _ = ask("/api/v1/projects", "POST", project, {"cookie": cookie, "origin": "https://elsewhere.test"})
    t.assertEqual(status, 403)
    status, _, _ = ask("/api/v1/projects", "POST", project, {"cookie": cookie, "origin": ORIGIN})
    t.assertEqual(status, 201)

with subtest("signing out ends the session, not only the cookie"):
    status, fields, _ = ask("/api/v1/session", "DELETE", headers={"cookie": cookie, "origin": ORIGIN})
    t.assertEqual(status, 204)
    t.assertIn("Max-Age=0", cookie_of(fields)[1])
    t.assertEqual(ask("/api/v1/session", headers={"cookie": cookie})[0], 401)

with subtest("a wrong password gets no cookie, and does not say what was wrong"):
    answers = [
        ask("/api/v1/session", "POST", {"email": email, "password": "wrong password, quite long"})
        for email in ["ops@wise.test", "nobody@wise.test"]
    ]
    for status, fields, _ in answers:
        t.assertEqual(status, 401)
        t.assertNotIn("set-cookie", fields)
    t.assertEqual(json.loads(answers[0][2])["message"], json.loads(answers[1][2])["message"])
