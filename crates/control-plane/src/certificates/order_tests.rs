use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("time")
}

fn present() -> Present<'static> {
    Present {
        host: "a.test",
        not_before: Some(at("2026-01-01T00:00:00Z")),
        not_after: Some(at("2026-04-01T00:00:00Z")),
        renew_at: None,
        staging: false,
        reissue: false,
    }
}

#[test]
fn an_order_is_due_when_something_is_missing_old_asked_for_or_of_the_wrong_ca() {
    let (young, old, gone) =
        (at("2026-02-01T00:00:00Z"), at("2026-03-05T00:00:00Z"), at("2026-04-02T00:00:00Z"));
    let none = Present { not_before: None, not_after: None, ..present() };
    assert_eq!(due(&none, false, young), Some(Kind::First));
    assert_eq!(due(&present(), false, young), None);
    assert_eq!(due(&present(), false, old), Some(Kind::Renewal));
    let said = |time| Present { renew_at: Some(time), ..present() };
    assert_eq!(due(&said(young), false, young), Some(Kind::Renewal), "the CA wants it replaced early");
    assert_eq!(due(&said(gone), false, old), None, "the CA wants it later");
    assert_eq!(due(&said(at("2026-05-01T00:00:00Z")), false, gone), Some(Kind::Renewal), "it is over");
    let asked = Present { reissue: true, ..present() };
    assert_eq!(due(&asked, false, young), Some(Kind::Reissue));

    assert_eq!(due(&asked, true, old), None, "nothing untrusted replaces what is trusted");
    assert_eq!(due(&present(), true, gone), Some(Kind::Renewal));
    let staging = Present { staging: true, ..present() };
    assert_eq!(due(&staging, true, young), None);
    assert_eq!(due(&staging, false, young), Some(Kind::Renewal), "trusted ones replace it at once");
}

#[test]
fn the_next_challenge_is_another_one_only_after_the_ca_could_not_connect() {
    use ChallengeKind::{Dns01, Http01, TlsAlpn01};
    let last = |challenge, code: &str| Some(Last { challenge, code: Some(code.to_owned()) });
    let good = |challenge| Some(Last { challenge, code: None });
    for (host, provider, first, last, wanted) in [
        ("*.a.test", true, Http01, None, Some(Dns01)),
        ("*.a.test", false, Http01, None, None),
        ("a.test", true, Http01, None, Some(Http01)),
        ("a.test", true, Dns01, None, Some(Dns01)),
        ("a.test", false, Dns01, None, Some(Http01)),
        ("a.test", false, Http01, last(Http01, "acme_connection"), Some(TlsAlpn01)),
        ("a.test", false, Http01, last(TlsAlpn01, "acme_connection"), Some(Http01)),
        ("a.test", true, Http01, last(TlsAlpn01, "acme_connection"), Some(Dns01)),
        ("a.test", false, Http01, last(Http01, "acme_wrong_answer"), Some(Http01)),
        ("a.test", false, Http01, last(Http01, "acme_unreachable"), Some(Http01)),
        ("a.test", false, Http01, good(TlsAlpn01), Some(TlsAlpn01)),
        ("a.test", false, Http01, good(Dns01), Some(Http01)),
    ] {
        assert_eq!(challenge(host, provider, first, last.as_ref()), wanted, "{host} {first} {last:?}");
    }
}

#[test]
fn a_budget_that_is_used_up_says_which_and_until_when() {
    let budget = Budget::default();
    let ask = |spent: &Spent, replaces| wait(spent, "a.example.com", "example.com", &budget, replaces);
    assert_eq!(ask(&Spent::default(), false), None);
    let spent = Spent {
        failures: Some(at("2026-01-01T00:00:00Z")),
        domain: Some(at("2026-01-01T00:00:00Z")),
        ..Spent::default()
    };
    let found = ask(&spent, false).expect("spent");
    assert_eq!(found.until, at("2026-01-08T00:00:00Z"), "the longest");
    assert!(found.why.contains("45 certificates of example.com in 7 days"), "{}", found.why);
    assert!(found.why.contains("2026-01-08 at 00:00 UTC"), "{}", found.why);
    assert_eq!(ask(&spent, true).expect("spent").until, at("2026-01-01T01:00:00Z"), "replacing is free");
}

#[test]
fn cas_count_by_registered_domain() {
    assert_eq!(registered_domain("*.shop.example.co.uk"), "example.co.uk");
    assert_eq!(registered_domain("a.b.example.com"), "example.com");
    assert_eq!(registered_domain("localhost"), "localhost");
}
