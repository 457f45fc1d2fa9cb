//! What a visitor sees when there is no answer from an app: what is wrong and whose turn it is, and nothing about the
//! inside. HTML for people, JSON for programs that ask for it.

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::body::ResponseBody;

/// A reason why a request got no answer from an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// Refused before routing; the text says why.
    BadRequest(&'static str),
    UnknownHost,
    NoInstance,
    Unreachable,
    Timeout,
    /// The client stopped sending its body.
    RequestTimeout,
    CertificatePending,
    /// A TLS connection for one name, a request for another.
    Misdirected,
}

impl Page {
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::UnknownHost => StatusCode::NOT_FOUND,
            Self::NoInstance | Self::CertificatePending => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unreachable => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        }
    }

    /// A stable word, for programs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::UnknownHost => "unknown_host",
            Self::NoInstance => "no_healthy_instance",
            Self::Unreachable => "upstream_unreachable",
            Self::Timeout => "upstream_timeout",
            Self::RequestTimeout => "request_timeout",
            Self::CertificatePending => "certificate_pending",
            Self::Misdirected => "misdirected",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::BadRequest(_) => "This request cannot be understood",
            Self::UnknownHost => "No app answers on this name",
            Self::NoInstance => "This app is not running",
            Self::Unreachable => "This app cannot be reached",
            Self::Timeout => "This app took too long to answer",
            Self::RequestTimeout => "The request stopped half-way",
            Self::CertificatePending => "The certificate is being issued",
            Self::Misdirected => "Wrong connection for this name",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::BadRequest(reason) => reason,
            Self::UnknownHost => {
                "The name points here, but no app has it. Check the spelling; if the app is yours, add this name to its domains."
            }
            Self::NoInstance => {
                "None of its instances is healthy at the moment. Try again shortly; if the app is yours, look at its instances and their logs."
            }
            Self::Unreachable => {
                "It did not accept the connection, or ended it without an answer. Try again shortly; if the app is yours, look at its logs."
            }
            Self::Timeout => {
                "It has the request but sent no answer in time. Try again shortly; if the app is yours, look for what it waits on."
            }
            Self::RequestTimeout => "The rest of the request did not arrive in time. Please send it again.",
            Self::CertificatePending => {
                "This app is served over HTTPS only, and its certificate is not there yet. This usually takes less than a minute: try again shortly."
            }
            Self::Misdirected => "Please open a new connection for this name.",
        }
    }

    fn retry_after(self) -> Option<&'static str> {
        match self {
            Self::NoInstance | Self::Unreachable => Some("5"),
            Self::CertificatePending => Some("15"),
            _ => None,
        }
    }

    /// The answer to a client that sent `request`'s headers.
    pub fn respond(self, json: bool) -> Response<ResponseBody> {
        metrics::counter!("wisehosting_ingress_pages_total", "page" => self.code()).increment(1);
        let (kind, text) = if json {
            let body =
                serde_json::json!({ "code": self.code(), "message": self.title(), "hint": self.text() });
            ("application/json", body.to_string())
        } else {
            ("text/html; charset=utf-8", self.html())
        };
        let mut response = Response::new(ResponseBody::full(text));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
        headers.insert(
            "content-security-policy",
            HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
        );
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        response
    }

    fn html(self) -> String {
        let (status, title, text) = (self.status().as_u16(), self.title(), self.text());
        format!(
            r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}</title>
<style>{STYLE}</style>
<main>
<p class="status">{status}</p>
<h1>{title}</h1>
<p>{text}</p>
</main>
</html>
"#
        )
    }
}

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{margin:0;min-height:100vh;display:grid;place-items:center;font:1rem/1.6 system-ui,sans-serif;\
background:#f7f7f5;color:#1c1c1a}\
main{max-width:32rem;padding:2rem}\
.status{margin:0;font-variant-numeric:tabular-nums;color:#6b6b66}\
h1{margin:.25rem 0 1rem;font-size:1.6rem;line-height:1.25}\
p{margin:0}\
@media(prefers-color-scheme:dark){body{background:#161615;color:#ececea}.status{color:#a3a39c}}";

/// Whether the client asks for JSON: names it, and does not take HTML.
pub(crate) fn wants_json(headers: &HeaderMap) -> bool {
    let accepts = |kind: &str| {
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|text| text.contains(kind))
    };
    (accepts("application/json") || accepts("+json")) && !accepts("text/html")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Page; 8] = [
        Page::BadRequest("The request has no Host header."),
        Page::UnknownHost,
        Page::NoInstance,
        Page::Unreachable,
        Page::Timeout,
        Page::RequestTimeout,
        Page::CertificatePending,
        Page::Misdirected,
    ];

    #[test]
    fn every_page_says_what_is_wrong_and_loads_nothing_from_elsewhere() {
        for page in ALL {
            let html = page.html();
            assert!(html.contains(page.title()) && html.contains(page.text()), "{page:?}");
            for asset in ["http://", "https://", "src=", "href=", "url("] {
                assert!(!html.contains(asset), "{page:?} loads {asset}");
            }
        }
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
}
