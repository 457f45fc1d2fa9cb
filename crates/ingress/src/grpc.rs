//! What gRPC clients are told when there is no answer from an app: a status in the form that they read (a response of
//! trailers only), instead of a page.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};

use crate::body::ResponseBody;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// A gRPC call, as its head tells it. gRPC-Web, which browsers speak, has its status in the body and is not meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    /// How long its client waits for it.
    pub(crate) deadline: Option<Duration>,
}

/// The gRPC call that a request is.
pub(crate) fn call(version: Version, headers: &HeaderMap) -> Option<Call> {
    (version == Version::HTTP_2 && is_grpc(headers)).then(|| Call { deadline: timeout(headers) })
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return false };
    kind.as_bytes()
        .strip_prefix(GRPC.as_bytes())
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// At most 8 digits and a unit.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// `answer` as a gRPC client reads it, if it is a page of ours or of something that does not speak gRPC.
pub(crate) fn translate(answer: Response<ResponseBody>) -> Response<ResponseBody> {
    if answer.status() == StatusCode::OK || is_grpc(answer.headers()) || !answer.body().is_ours() {
        return answer;
    }
    trailers_only(answer.status())
}

/// The call took longer than its client waits.
pub(crate) fn deadline_exceeded() -> Response<ResponseBody> {
    trailers_only(StatusCode::GATEWAY_TIMEOUT)
}

/// Codes as clients derive them from a status of HTTP (gRPC's `http-grpc-status-mapping.md`), a time-out apart.
fn trailers_only(status: StatusCode) -> Response<ResponseBody> {
    let (code, message) = match status {
        StatusCode::BAD_REQUEST => ("13", "the request cannot be understood"),
        StatusCode::UNAUTHORIZED => ("16", "credentials are asked for"),
        StatusCode::FORBIDDEN => ("7", "this client is not let in"),
        StatusCode::NOT_FOUND => ("12", "no app answers on this name"),
        StatusCode::PAYLOAD_TOO_LARGE => ("8", "the request is too large"),
        StatusCode::GATEWAY_TIMEOUT | StatusCode::REQUEST_TIMEOUT => ("4", "no answer in time"),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => {
            ("14", "the app cannot be reached at the moment")
        }
        _ => ("2", "answered without gRPC"),
    };
    let mut answer = Response::new(ResponseBody::empty());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert(GRPC_STATUS, HeaderValue::from_static(code));
    headers.insert(GRPC_MESSAGE, HeaderValue::from_static(message));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_call_is_known_by_its_type_and_version() {
        for (kind, is) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=x", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let headers = headers(&[("content-type", kind)]);
            assert_eq!(call(Version::HTTP_2, &headers).is_some(), is, "{kind}");
            assert_eq!(call(Version::HTTP_11, &headers), None);
        }
    }

    #[test]
    fn deadlines_are_read_in_all_units_and_nonsense_is_none() {
        for (value, expected) in [
            ("1H", Some(Duration::from_hours(1))),
            ("2M", Some(Duration::from_mins(2))),
            ("3S", Some(Duration::from_secs(3))),
            ("250m", Some(Duration::from_millis(250))),
            ("9u", Some(Duration::from_micros(9))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("", None),
            ("S", None),
            ("-1S", None),
            ("123456789S", None),
            ("1.5S", None),
            ("10", None),
        ] {
            assert_eq!(timeout(&headers(&[("grpc-timeout", value)])), expected, "{value}");
        }
    }
}
