//! `wh cert`.

use serde_json::{Value, json};

use crate::User;
use crate::mock::{Mock, bytes, json as reply};

fn certificate(host: &str) -> Value {
    json!({
        "host": host, "app": "shop", "source": "acme", "standing": "failed",
        "summary": "None yet: the last 2 orders failed.", "names": [], "issuer": null, "not_before": null,
        "not_after": null, "days_left": null, "staging": false, "challenge": null, "failures": 2,
        "next": { "at": "2026-06-01T12:30:00Z", "what": "ordered again, 2 in a row failed" },
        "problem": { "at": "2026-06-01T12:00:00Z", "code": "acme_dns", "message": "The CA finds no address.",
                     "hint": "Point an A record at the proxies." },
    })
}

fn detail(host: &str) -> Value {
    let mut detail = certificate(host);
    detail["attempts"] = json!([{
        "id": "a", "at": "2026-06-01T11:59:48Z", "finished_at": "2026-06-01T12:00:00Z", "kind": "first",
        "challenge": "http-01", "names": [host], "directory": "https://ca.test/dir", "staging": false,
        "outcome": "failed", "trouble": detail["problem"], "log": ["Making an account."], "proxy": "p1",
    }]);
    detail["proxies"] = json!([
        { "node": "p1", "connected": true, "generation": 7, "current": true },
        { "node": "p2", "connected": true, "generation": 6, "current": false },
    ]);
    detail["reissue_at"] = json!(null);
    detail
}

#[test]
fn certificates_are_listed_with_what_comes_next() {
    let items = json!([certificate("shop.example.com")]);
    let mock = Mock::start(vec![("GET /certificates", reply(200, json!({ "items": items, "next": null })))]);
    let run = User::new().wh(&mock, &["cert"]).succeeded();
    let line = run.out.lines().nth(1).expect("a row");
    assert!(line.starts_with("shop.example.com  shop  failed"), "{run:?}");
    assert!(line.ends_with("2026-06-01 12:30 ordered again, 2 in a row failed"), "{run:?}");
    let run = User::new().wh(&mock, &["cert", "list", "--json"]).succeeded();
    assert_eq!(run.json()[0]["problem"]["code"], "acme_dns");
}

#[test]
fn one_is_shown_with_the_problem_the_remedy_the_orders_and_the_proxies() {
    let mock = Mock::start(vec![
        ("GET /certificates/shop%2Eexample%2Ecom", reply(200, detail("shop.example.com"))),
        (
            "GET /certificates/shop%2Eexample%2Ecom/chain",
            bytes("application/pem-certificate-chain", b"-----BEGIN CERTIFICATE-----\n".to_vec()),
        ),
    ]);
    let run = User::new().wh(&mock, &["cert", "show", "shop.example.com"]).succeeded();
    for text in [
        "None yet: the last 2 orders failed.",
        "The CA finds no address.",
        "Point an A record at the proxies.",
        "The newest order:\n  Making an account.\n",
    ] {
        assert!(run.out.contains(text), "{text}: {run:?}");
    }
    let has = |words: &[&str]| run.out.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(has(&["p1", "this", "7"]) && has(&["p2", "an older table", "6"]), "{run:?}");
    assert!(has(&["first", "http-01", "failed", "12 s", "p1"]), "{run:?}");
    let run = User::new().wh(&mock, &["cert", "export-chain", "shop.example.com"]).succeeded();
    assert_eq!(run.out, "-----BEGIN CERTIFICATE-----\n");
}

#[test]
fn a_second_order_within_the_hour_has_to_be_meant() {
    let recent = json!({ "code": "certificate_recent", "message": "one was ordered less than an hour ago",
                         "field": null, "hint": "CAs count", "request_id": "r" });
    let mock = Mock::start(vec![
        ("POST /certificates/shop%2Eexample%2Ecom/reissue", reply(409, recent)),
        ("POST /certificates/shop%2Eexample%2Ecom/reissue", reply(200, certificate("shop.example.com"))),
    ]);
    let words = ["cert", "reissue", "shop.example.com"];
    let run = User::new().wh(&mock, &words).failed(5);
    assert!(run.err.contains("wh cert reissue shop.example.com --again"), "{run:?}");
    let run = User::new().wh(&mock, &[&words[..], &["--again"]].concat()).succeeded();
    assert!(run.err.contains("is ordered"), "{run:?}");
    let asked = mock.asked();
    assert_eq!((asked[0].json(), asked[1].json()), (json!({ "again": false }), json!({ "again": true })));
}

fn imported() -> Value {
    json!({ "id": "i-1", "names": ["*.example.com"], "hosts": ["shop.example.com"], "issuer": "House CA",
            "not_before": "2026-01-01T00:00:00Z", "not_after": "2027-01-01T00:00:00Z", "fingerprint": "AB",
            "notes": ["It is an internal CA."], "imported_by": "ann", "imported_at": "2026-01-01T00:00:00Z" })
}

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";

#[test]
fn a_certificate_is_imported_from_files_and_its_key_never_printed() {
    let both = format!("{KEY}{CERTIFICATE}");
    let mock = Mock::start(vec![("POST /certificates/imports", reply(201, imported()))]);
    let user = User::with_files(&[("chain.pem", CERTIFICATE), ("key.pem", KEY), ("both.pem", &both)]);
    let env = [("WH_URL", mock.url.as_str()), ("WH_TOKEN", "wht_test")];
    for (words, stdin) in [
        (&["cert", "import", "chain.pem", "--key", "key.pem"][..], ""),
        (&["cert", "import", "chain.pem", "--key", "-"], KEY),
        (&["cert", "import", "both.pem"], ""),
    ] {
        let run = user.bare(words, &env, stdin).succeeded();
        assert!(run.err.contains("served for shop.example.com until 2027-01-01"), "{run:?}");
        assert!(run.err.contains("It is an internal CA."), "{run:?}");
        assert!(!format!("{run:?}").contains("c2VjcmV0"), "{run:?}");
    }
    for asked in mock.asked() {
        let body = asked.json();
        assert_eq!(body["chain_pem"], CERTIFICATE);
        assert!(body["key_pem"].as_str().expect("key").contains("c2VjcmV0"), "{body}");
    }
    let run = user.wh(&mock, &["cert", "import", "chain.pem"]).failed(2);
    assert!(run.err.contains("--key"), "{run:?}");
}

#[test]
fn an_imported_certificate_is_removed_by_its_name() {
    let mock = Mock::start(vec![
        ("GET /certificates/imports", reply(200, json!({ "items": [imported()], "next": null }))),
        ("DELETE /certificates/imports/i-1", reply(204, json!(null))),
    ]);
    let words = ["cert", "remove", "shop.example.com"];
    let run = User::new().wh(&mock, &words).failed(2);
    assert!(run.err.contains("--confirm *.example.com"), "{run:?}");
    User::new().wh(&mock, &[&words[..], &["--confirm", "shop.example.com"]].concat()).failed(2);
    let run = User::new().wh(&mock, &[&words[..], &["--confirm", "*.example.com"]].concat()).succeeded();
    assert!(run.err.contains("is removed"), "{run:?}");
    let asked = mock.asked().last().expect("asked").line.clone();
    assert!(asked.ends_with("?confirm=%2A%2Eexample%2Ecom"), "{asked}");
    let run = User::new().wh(&mock, &["cert", "remove", "other.test"]).failed(2);
    assert!(run.err.contains("no imported certificate"), "{run:?}");
}
