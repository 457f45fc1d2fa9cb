//! Web sockets over HTTP/2 (RFC 8441): an extended CONNECT becomes the upgrade that HTTP/1.1 apps know, and the 101 of
//! the app becomes the 200 that opens the stream.

use std::hash::{BuildHasher, RandomState};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use http::{Method, Request, Response, StatusCode, Version};
use hyper::ext::Protocol;

use crate::body::ResponseBody;

const WEBSOCKET: &str = "websocket";

/// Makes an upgrade of `request` if it asks for a WebSocket in HTTP/2's way. Says whether it did.
pub(crate) fn lower<B>(request: &mut Request<B>) -> bool {
    let asks = request.version() == Version::HTTP_2
        && request.method() == Method::CONNECT
        && request.extensions().get::<Protocol>().is_some_and(|protocol| protocol.as_str() == WEBSOCKET);
    if !asks {
        return false;
    }
    *request.method_mut() = Method::GET;
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
    // It only shows that whoever answers knows WebSockets and is no cache; over HTTP/2 `:protocol` does that.
    let halves = [RandomState::new().hash_one(0).to_be_bytes(), RandomState::new().hash_one(1).to_be_bytes()];
    if let Ok(key) = HeaderValue::try_from(STANDARD.encode(halves.concat())) {
        headers.insert(SEC_WEBSOCKET_KEY, key);
    }
    true
}

/// The answer to a request that was lowered.
pub(crate) fn raise(mut answer: Response<ResponseBody>) -> Response<ResponseBody> {
    let hop: [HeaderName; 3] = [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT];
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        *answer.status_mut() = StatusCode::OK;
        for name in hop {
            answer.headers_mut().remove(name);
        }
        return answer;
    }
    if answer.status().is_success() {
        // The app did not upgrade, and a success would tell the client that it did.
        let mut refused = Response::new(ResponseBody::full("The app did not open a WebSocket here.\n"));
        *refused.status_mut() = StatusCode::BAD_GATEWAY;
        refused.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        return refused;
    }
    answer
}
