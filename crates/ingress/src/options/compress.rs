//! Text is compressed on its way to clients that take gzip. It stays a stream: whatever the app has sent is passed on
//! before more is waited for.

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, VARY,
};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};

use crate::body::ResponseBody;

/// Shorter answers are hardly shorter afterwards.
const MIN_BYTES: u64 = 1024;
/// Output that is passed on without waiting for more.
const PIECE: usize = 8 * 1024;
/// Input after which others get their turn.
const TURN: usize = 128 * 1024;
/// A third of the time of gzip's own default, for a few per cent more bytes.
const LEVEL: Compression = Compression::new(4);

/// Of the whole content, which would be another.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// Whether the answer to `request` may be compressed.
pub(crate) fn accepts<B>(request: &Request<B>) -> bool {
    if request.method() == Method::HEAD {
        return false;
    }
    let mut any = None;
    for value in request.headers().get_all(ACCEPT_ENCODING) {
        for part in value.to_str().unwrap_or_default().split(',') {
            let (coding, parameters) = part.split_once(';').unwrap_or((part, ""));
            match coding.trim() {
                coding if coding.eq_ignore_ascii_case("gzip") => return weight(parameters) > 0.0,
                "*" => any = Some(weight(parameters) > 0.0),
                _ => {}
            }
        }
    }
    any.unwrap_or(false)
}

fn weight(parameters: &str) -> f32 {
    let quality = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0))
}

/// Compresses `response` if `accepted` and if it gains by it. Either way caches are told that the request decides.
pub(crate) fn apply(response: &mut Response<ResponseBody>, accepted: bool) {
    if !depends(response.status(), response.headers()) {
        return;
    }
    add_vary(response.headers_mut());
    if !accepted || !gains(response.headers()) {
        return;
    }
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.remove(ACCEPT_RANGES);
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    weaken(headers);
    let body = std::mem::replace(response.body_mut(), ResponseBody::empty());
    *response.body_mut() = ResponseBody::gzip(body);
}

/// Whether this is something that may come in two forms, whatever the client takes.
fn depends(status: StatusCode, headers: &HeaderMap) -> bool {
    let whole = !matches!(
        status,
        StatusCode::NO_CONTENT
            | StatusCode::RESET_CONTENT
            | StatusCode::PARTIAL_CONTENT
            | StatusCode::NOT_MODIFIED
    ) && !status.is_informational();
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    whole
        && kind.is_some_and(is_text)
        && !headers.contains_key(CONTENT_ENCODING)
        && !headers.contains_key(CONTENT_RANGE)
        && !forbids_change(headers)
}

fn gains(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    length.is_none_or(|length| length >= MIN_BYTES) && !DIGESTS.iter().any(|name| headers.contains_key(name))
}

fn forbids_change(headers: &HeaderMap) -> bool {
    headers.get_all(CACHE_CONTROL).iter().any(|value| {
        let mut directives = value.as_bytes().split(|byte| *byte == b',');
        directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
    })
}

/// Events are left alone: each is small, and clients and proxies on the way handle them by their line ends.
fn is_text(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some((class, name)) = kind.split_once('/') else { return false };
    match class {
        "text" => name != "event-stream",
        "application" => {
            matches!(name, "json" | "javascript" | "x-javascript" | "xml" | "wasm" | "x-ndjson")
                || name.ends_with("+json")
                || name.ends_with("+xml")
        }
        "image" => name == "svg+xml",
        "font" => matches!(name, "ttf" | "otf"),
        _ => false,
    }
}

fn add_vary(headers: &mut HeaderMap) {
    let named = headers.get_all(VARY).iter().any(|value| {
        let mut names = value.as_bytes().split(|byte| *byte == b',');
        names.any(|name| {
            let name = name.trim_ascii();
            name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding")
        })
    });
    if !named {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
}

/// The bytes are not those that the app's tag stands for, but they mean the same (RFC 9110 section 8.8.1).
fn weaken(headers: &mut HeaderMap) {
    let Some(tag) = headers.get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/")) else { return };
    let weak = [b"W/", tag.as_bytes()].concat();
    match HeaderValue::from_bytes(&weak) {
        Ok(weak) => headers.insert(ETAG, weak),
        Err(_) => headers.remove(ETAG),
    };
}

/// A body that is compressed as it passes.
pub(crate) struct Gzip {
    body: ResponseBody,
    /// `None` after its end.
    encoder: Option<GzEncoder<Vec<u8>>>,
    /// The encoder holds input of which nothing was passed on yet.
    holds: bool,
    /// What comes after the content.
    trailers: Option<Frame<Bytes>>,
}

impl Gzip {
    pub(crate) fn new(body: ResponseBody) -> Self {
        Self { body, encoder: Some(GzEncoder::new(Vec::new(), LEVEL)), holds: false, trailers: None }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut taken = 0;
        while let Some(encoder) = &mut self.encoder {
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => {
                    if let Some(Ok(rest)) = self.encoder.take().map(GzEncoder::finish) {
                        return data(rest.into());
                    }
                    break;
                }
                Poll::Pending if std::mem::take(&mut self.holds) => return data(flushed(encoder)),
                Poll::Pending => return Poll::Pending,
            };
            match frame.into_data() {
                Ok(piece) => {
                    taken += piece.len();
                    self.holds |= !piece.is_empty();
                    // Memory takes all.
                    let _ = encoder.write_all(&piece);
                }
                Err(other) => self.trailers = Some(other),
            }
            if encoder.get_ref().len() >= PIECE {
                return data(std::mem::take(encoder.get_mut()).into());
            }
            if taken >= TURN {
                self.holds = false;
                return data(flushed(encoder));
            }
        }
        Poll::Ready(self.trailers.take().map(Ok))
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }
}

fn data(bytes: Bytes) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
    Poll::Ready(Some(Ok(Frame::data(bytes))))
}

/// All that the encoder holds.
fn flushed(encoder: &mut GzEncoder<Vec<u8>>) -> Bytes {
    let _ = encoder.flush();
    std::mem::take(encoder.get_mut()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(value: &'static str) -> bool {
        let mut request = Request::new(());
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
        accepts(&request)
    }

    #[test]
    fn clients_say_what_they_take() {
        for yes in ["gzip", "br, GZIP;q=0.5", "*", "deflate, *;q=0.1", "gzip ; q=1.0"] {
            assert!(accepting(yes), "{yes}");
        }
        for no in ["", "br", "gzip;q=0", "gzip;q=0.000, *", "*;q=0", "identity", "x-gzip2"] {
            assert!(!accepting(no), "{no}");
        }
        assert!(!accepts(&Request::new(())));
        let head = Request::head("/").header(ACCEPT_ENCODING, "gzip").body(()).expect("request");
        assert!(!accepts(&head));
    }

    fn answer(status: u16, headers: &[(&'static str, &'static str)]) -> Response<ResponseBody> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let response = response.body(ResponseBody::full(vec![b'a'; 2000]));
        let mut response = response.expect("response");
        apply(&mut response, true);
        response
    }

    #[test]
    fn what_is_compressed_says_so_and_claims_nothing_about_the_bytes_before() {
        let response = answer(
            200,
            &[
                ("content-type", "Text/HTML; charset=utf-8"),
                ("content-length", "2000"),
                ("etag", "\"a\""),
                ("accept-ranges", "bytes"),
                ("vary", "cookie"),
            ],
        );
        let headers = response.headers();
        assert_eq!(headers["content-encoding"], "gzip");
        assert_eq!(headers["etag"], "W/\"a\"");
        assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["cookie", "accept-encoding"]);
        assert!(!headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(ACCEPT_RANGES));
    }

    #[test]
    fn what_gains_nothing_or_must_not_change_is_left_as_it_is() {
        const TEXT: (&str, &str) = ("content-type", "text/css");
        for (status, headers, vary) in [
            (200, vec![("content-type", "image/png")], false),
            (200, vec![("content-type", "text/event-stream")], false),
            (200, vec![], false),
            (200, vec![TEXT, ("content-encoding", "br")], false),
            (200, vec![TEXT, ("cache-control", "public, No-Transform")], false),
            (206, vec![TEXT, ("content-range", "bytes 0-1/5")], false),
            (204, vec![TEXT], false),
            (304, vec![TEXT], false),
            (200, vec![TEXT, ("content-length", "1023")], true),
            (200, vec![TEXT, ("content-digest", "sha-256=:x:")], true),
            (200, vec![TEXT, ("vary", "Origin, Accept-Encoding"), ("content-length", "5")], true),
        ] {
            let response = answer(status, &headers);
            let encoding = response.headers().get(CONTENT_ENCODING);
            assert!(encoding.is_none_or(|encoding| encoding != "gzip"), "{headers:?}");
            let varies = response.headers().get_all(VARY).iter().count();
            assert_eq!(varies, usize::from(vary), "{headers:?}");
        }
        for kind in ["application/json", "application/ld+json", "image/svg+xml", "application/wasm"] {
            assert!(is_text(kind), "{kind}");
        }
    }
}
