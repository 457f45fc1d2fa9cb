use std::collections::BTreeSet;

use super::*;

const ALL: [Page; 18] = [
    Page::BadRequest("The request has no Host header."),
    Page::UnknownHost,
    Page::NoInstance,
    Page::Starting,
    Page::Unhealthy,
    Page::Stopped,
    Page::Maintenance,
    Page::Unreachable,
    Page::Timeout,
    Page::RequestTimeout,
    Page::CertificatePending,
    Page::Misdirected,
    Page::Forbidden,
    Page::Unauthorized,
    Page::TooLarge,
    Page::TooMany,
    Page::AuthUnreachable,
    Page::AuthUnavailable,
];

#[test]
fn every_page_says_what_is_wrong_and_loads_nothing_from_elsewhere() {
    for page in ALL {
        let words = page.words();
        let html = words.html(None, page == Page::Starting);
        assert!(html.contains(words.title) && html.contains(words.text), "{page:?}");
        assert_eq!(html.contains("http-equiv"), page == Page::Starting, "{page:?}");
        for asset in ["http://", "https://", "src=", "href=", "url("] {
            assert!(!html.contains(asset), "{page:?} loads {asset}");
        }
    }
}

#[test]
fn every_page_has_a_code_of_its_own() {
    let codes: BTreeSet<&str> = ALL.iter().map(|page| page.code()).collect();
    assert_eq!(codes.len(), ALL.len(), "{codes:?}");
}

#[test]
fn a_message_is_shown_as_it_was_written_and_never_as_markup() {
    let message = "Back at 5 & \"later\" <script>alert('x')</script>\nThanks";
    let html = Page::Maintenance.words().html(Some(message), false);
    assert!(!html.contains("<script") && !html.contains("alert('"), "{html}");
    assert!(html.contains("Back at 5 &amp; &quot;later&quot; &lt;script&gt;"), "{html}");
    let json: serde_json::Value =
        serde_json::from_str(&Page::Maintenance.words().json(Some(message))).expect("JSON");
    assert_eq!((json["code"].as_str(), json["hint"].as_str()), (Some("maintenance"), Some(message)));
}

#[test]
fn json_is_for_those_who_ask_for_it_and_not_for_browsers() {
    let asks = |accept: &'static str| {
        wants_json(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]))
    };
    assert!(asks("application/json"));
    assert!(asks("application/problem+json, */*"));
    assert!(!asks("text/html,application/xhtml+xml,application/json;q=0.9"));
    assert!(!asks("*/*"));
    let response = Page::UnknownHost.respond(true);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
}
