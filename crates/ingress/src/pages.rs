//! What a visitor sees when there is no answer from an app: what is wrong and whose turn it is, and nothing about the
//! inside. HTML for people, JSON for programs that ask for it.

use std::borrow::Cow;

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use protocol::spec::Unavailable;

use crate::body::ResponseBody;

/// A reason why a request got no answer from an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// Refused before routing; the text says why.
    BadRequest(&'static str),
    UnknownHost,
    NoInstance,
    /// Its first instances are on their way.
    Starting,
    /// It has instances, and none is well.
    Unhealthy,
    Stopped,
    Maintenance,
    Unreachable,
    Timeout,
    /// The client stopped sending its body.
    RequestTimeout,
    CertificatePending,
    /// A TLS connection for one name, a request for another.
    Misdirected,
    /// The client's address is not among those let in.
    Forbidden,
    /// Name and password are missing or wrong.
    Unauthorized,
    /// The request's body is longer than the route takes.
    TooLarge,
    /// The client's address asks too often.
    TooMany,
    /// Who decides on requests cannot be asked.
    AuthUnreachable,
    /// Who decides on requests does not answer.
    AuthUnavailable,
}

/// What is said beyond the page's own words.
#[derive(Debug, Default)]
pub(crate) struct Extra<'a> {
    /// Instead of the page's text; anything, it is escaped.
    pub(crate) text: Option<&'a str>,
    pub(crate) retry_after_s: Option<u64>,
}

/// How a page looks: someone has to wait, or to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    Wait,
    Fault,
}

struct Words {
    status: StatusCode,
    /// Stable, for programs and metrics.
    code: &'static str,
    tone: Tone,
    title: &'static str,
    /// For visitors.
    text: &'static str,
    /// For those whose app it is.
    owner: Option<&'static str>,
    retry_after_s: Option<u64>,
}

const fn words(status: StatusCode, code: &'static str, title: &'static str, text: &'static str) -> Words {
    Words { status, code, tone: Tone::Fault, title, text, owner: None, retry_after_s: None }
}

impl Words {
    const fn owner(self, owner: &'static str) -> Self {
        Self { owner: Some(owner), ..self }
    }

    const fn wait(self, seconds: u64) -> Self {
        Self { tone: Tone::Wait, retry_after_s: Some(seconds), ..self }
    }
}

impl Page {
    /// The page of a route without upstreams.
    pub(crate) fn without_instance(reason: Option<Unavailable>) -> Self {
        match reason {
            None => Self::NoInstance,
            Some(Unavailable::Starting) => Self::Starting,
            Some(Unavailable::Unhealthy) => Self::Unhealthy,
            Some(Unavailable::Stopped) => Self::Stopped,
        }
    }

    pub fn status(self) -> StatusCode {
        self.words().status
    }

    /// A stable word, for programs and metrics.
    pub fn code(self) -> &'static str {
        self.words().code
    }

    fn words(self) -> Words {
        match self {
            Self::BadRequest(reason) => {
                words(StatusCode::BAD_REQUEST, "bad_request", "This request cannot be understood", reason)
            }
            Self::RequestTimeout => words(
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                "The request stopped half-way",
                "The rest of the request did not arrive in time. Please send it again.",
            ),
            Self::Misdirected => words(
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected",
                "Wrong connection for this name",
                "Please open a new connection for this name.",
            ),
            Self::Forbidden => words(
                StatusCode::FORBIDDEN,
                "forbidden",
                "Not open to your network",
                "This app answers only some networks, and your address is in none of them.",
            )
            .owner("If the app is yours, add this network to its allow list."),
            Self::Unauthorized => words(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "Name and password, please",
                "This app is not public. Reload the page to sign in.",
            ),
            Self::TooLarge => words(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "That is more than this app takes",
                "What you sent is larger than the limit set for this app. Please send something smaller.",
            ),
            Self::TooMany => words(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                "Too many requests",
                "Your address asks more often than this app allows. Please wait a moment and try again.",
            )
            .wait(1),
            Self::AuthUnreachable => words(
                StatusCode::BAD_GATEWAY,
                "auth_unreachable",
                "The sign-in cannot be reached",
                "This app is open to those who signed in, and the service that knows them gave no usable answer. Please try again shortly.",
            )
            .owner("If the app is yours, look at the address of its forward_auth and at the service behind it.")
            .wait(5),
            Self::AuthUnavailable => words(
                StatusCode::SERVICE_UNAVAILABLE,
                "auth_unavailable",
                "The sign-in does not answer",
                "This app is open to those who signed in, and the service that knows them does not answer. Please try again shortly.",
            )
            .owner("If the app is yours, look at the service that its forward_auth names.")
            .wait(5),
            _ => self.words_about_the_app(),
        }
    }

    /// Why the app itself does not answer.
    fn words_about_the_app(self) -> Words {
        match self {
            Self::Starting => words(
                StatusCode::SERVICE_UNAVAILABLE,
                "app_starting",
                "This app is starting",
                "It will be there in a moment. This page reloads by itself.",
            )
            .wait(5),
            Self::Unhealthy => words(
                StatusCode::SERVICE_UNAVAILABLE,
                "app_unhealthy",
                "This app is not well",
                "None of its instances is healthy at the moment. Please try again shortly.",
            )
            .owner("If the app is yours, look at its instances and their logs.")
            .wait(10),
            Self::Stopped => words(
                StatusCode::SERVICE_UNAVAILABLE,
                "app_stopped",
                "This app is stopped",
                "It was switched off and answers again once it is started.",
            )
            .owner("If the app is yours, start it or deploy it."),
            Self::Maintenance => words(
                StatusCode::SERVICE_UNAVAILABLE,
                "maintenance",
                "Back soon",
                "This app is closed for maintenance. Please try again later.",
            )
            .wait(60),
            Self::Unreachable => words(
                StatusCode::BAD_GATEWAY,
                "upstream_unreachable",
                "This app cannot be reached",
                "It did not accept the connection, or ended it without an answer. Please try again shortly.",
            )
            .owner("If the app is yours, look at its logs.")
            .wait(5),
            Self::Timeout => words(
                StatusCode::GATEWAY_TIMEOUT,
                "upstream_timeout",
                "This app took too long to answer",
                "It has the request but sent no answer in time. Please try again shortly.",
            )
            .owner("If the app is yours, look for what it waits on."),
            Self::CertificatePending => words(
                StatusCode::SERVICE_UNAVAILABLE,
                "certificate_pending",
                "The certificate is being issued",
                "This app is served over HTTPS only, and its certificate is not there yet. This usually takes less than a minute: try again shortly.",
            )
            .wait(15),
            Self::UnknownHost => words(
                StatusCode::NOT_FOUND,
                "unknown_host",
                "No app answers on this name",
                "The name points here, but no app has it. Please check the spelling.",
            )
            .owner("If the app is yours, add this name to its domains."),
            _ => words(
                StatusCode::SERVICE_UNAVAILABLE,
                "no_healthy_instance",
                "This app is not running",
                "None of its instances is healthy at the moment. Please try again shortly.",
            )
            .owner("If the app is yours, look at its instances and their logs.")
            .wait(5),
        }
    }

    /// The answer to a client, as JSON or as HTML.
    pub fn respond(self, json: bool) -> Response<ResponseBody> {
        self.respond_with(json, &Extra::default())
    }

    pub(crate) fn respond_with(self, json: bool, extra: &Extra<'_>) -> Response<ResponseBody> {
        let words = self.words();
        metrics::counter!("wisehosting_ingress_pages_total", "page" => words.code).increment(1);
        let (kind, text) = if json {
            ("application/json", words.json(extra.text))
        } else {
            ("text/html; charset=utf-8", words.html(extra.text, self == Self::Starting))
        };
        let mut response = Response::new(ResponseBody::full(text));
        *response.status_mut() = words.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
        headers.insert(
            "content-security-policy",
            HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
        );
        if let Some(seconds) = extra.retry_after_s.or(words.retry_after_s) {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl Words {
    fn json(&self, text: Option<&str>) -> String {
        let hint = match (text, self.owner) {
            (Some(text), _) => Cow::Borrowed(text),
            (None, Some(owner)) => Cow::Owned(format!("{} {owner}", self.text)),
            (None, None) => Cow::Borrowed(self.text),
        };
        serde_json::json!({ "code": self.code, "message": self.title, "hint": hint }).to_string()
    }

    fn html(&self, text: Option<&str>, reloads: bool) -> String {
        let (status, title) = (self.status.as_u16(), self.title);
        let tone = if self.tone == Tone::Wait { "wait" } else { "fault" };
        let text = escaped(text.unwrap_or(self.text));
        let refresh = if reloads { "\n<meta http-equiv=\"refresh\" content=\"5\">" } else { "" };
        let owner = self.owner.map_or_else(String::new, |owner| format!("\n<p class=\"owner\">{owner}</p>"));
        format!(
            r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">{refresh}
<title>{title}</title>
<style>{STYLE}</style>
<main class="{tone}">
<p class="status"><i></i>{status}</p>
<h1>{title}</h1>
<p class="text">{text}</p>{owner}
</main>
<footer>{MARK}WiseHosting</footer>
</html>
"#
        )
    }
}

/// Text as HTML shows it.
fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

const MARK: &str = "<svg viewBox=\"0 0 32 32\" width=\"18\" height=\"18\" aria-hidden=\"true\">\
<rect width=\"32\" height=\"32\" rx=\"8\" fill=\"#0e7c86\"/>\
<path d=\"M7.5 10.5 12 22l4-9 4 9 4.5-11.5\" fill=\"none\" stroke=\"#fff\" stroke-width=\"2.4\" \
stroke-linecap=\"round\" stroke-linejoin=\"round\"/></svg>";

const STYLE: &str = "\
:root{color-scheme:light dark;--bg:#f6f8f8;--card:#fff;--line:#e0e6e8;--text:#1b2528;--muted:#58666b;\
--tone:#0e7c86;--soft:#e2f2f3}\
.fault{--tone:#9a5b00;--soft:#fdf1dc}\
@media(prefers-color-scheme:dark){\
:root{--bg:#0f1416;--card:#171d20;--line:#283136;--text:#eef2f3;--muted:#a0adb1;--tone:#6fd0d6;--soft:#12363a}\
.fault{--tone:#f2b95c;--soft:#3a2a10}}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;min-height:100svh;padding:24px 16px;display:flex;flex-direction:column;\
align-items:center;justify-content:center;gap:20px;background:var(--bg);color:var(--text);\
font:16px/1.55 system-ui,-apple-system,\"Segoe UI\",Roboto,\"Noto Sans\",sans-serif}\
main{width:100%;max-width:480px;padding:32px;background:var(--card);border:1px solid var(--line);\
border-radius:14px;box-shadow:0 1px 2px rgb(20 40 45/.05),0 12px 32px -16px rgb(20 40 45/.18)}\
.status{display:inline-flex;align-items:center;gap:8px;margin:0 0 16px;padding:3px 11px 3px 9px;\
border-radius:999px;background:var(--soft);color:var(--tone);font-size:13px;font-weight:600;\
font-variant-numeric:tabular-nums}\
.status i{width:7px;height:7px;border-radius:50%;background:currentColor}\
.wait .status i{animation:pulse 1.6s ease-in-out infinite}\
@keyframes pulse{50%{opacity:.25}}\
@media(prefers-reduced-motion:reduce){.wait .status i{animation:none}}\
h1{margin:0 0 8px;font-size:22px;line-height:1.25;font-weight:650;letter-spacing:-.01em;text-wrap:balance}\
p{margin:0;overflow-wrap:anywhere}\
.text{white-space:pre-line}\
.owner{margin-top:20px;padding-top:16px;border-top:1px solid var(--line);color:var(--muted);font-size:14px}\
footer{display:flex;align-items:center;gap:8px;color:var(--muted);font-size:13px}\
@media(max-width:420px){main{padding:24px 20px}}";

/// Whether the client asks for JSON: names it, and does not take HTML.
pub(crate) fn wants_json(headers: &HeaderMap) -> bool {
    let accepts = |kind: &str| {
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|text| text.contains(kind))
    };
    (accepts("application/json") || accepts("+json")) && !accepts("text/html")
}

#[cfg(test)]
mod tests;
