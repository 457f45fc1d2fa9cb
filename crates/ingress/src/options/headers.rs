//! Headers that a route puts on messages and takes off them.

use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, EXPECT, HOST, HeaderMap, HeaderName,
    HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use protocol::spec::options::HeaderChanges;

/// A message without them, or with others, would be another message: where it ends, where it goes, who reads it.
const FIXED: [HeaderName; 15] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HOST,
    EXPECT,
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    CONTENT_RANGE,
];

/// Whether a header is not a route's to change.
pub(crate) fn frames(name: &HeaderName) -> bool {
    FIXED.contains(name)
}

/// Changes to one direction, ready to apply.
#[derive(Debug)]
pub(crate) struct Changes {
    set: Vec<(HeaderName, HeaderValue)>,
    remove: Vec<HeaderName>,
}

impl Changes {
    /// `None` when nothing is changed. `side` is the option's name.
    pub(crate) fn new(changes: &HeaderChanges, side: &str, report: &mut impl FnMut(String)) -> Option<Self> {
        let mut name_of = |name: &str| match HeaderName::try_from(name) {
            Ok(name) if frames(&name) => {
                report(format!("changes the header `{name}` in {side}, which is not a route's to change"));
                None
            }
            Ok(name) => Some(name),
            Err(_) => {
                report(format!("has a header `{}` in {side}, which is no header name", name.escape_debug()));
                None
            }
        };
        let remove: Vec<HeaderName> = changes.remove.iter().filter_map(|name| name_of(name)).collect();
        let named: Vec<(HeaderName, &String)> =
            changes.set.iter().filter_map(|(name, value)| Some((name_of(name)?, value))).collect();
        let mut set = Vec::with_capacity(named.len());
        for (name, value) in named {
            match HeaderValue::try_from(value) {
                Ok(value) => set.push((name, value)),
                Err(_) => report(format!(
                    "sets the header `{name}` in {side} to something that is no visible ASCII text"
                )),
            }
        }
        (!set.is_empty() || !remove.is_empty()).then_some(Self { set, remove })
    }

    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(set: &[(&str, &str)], remove: &[&str]) -> (Option<Changes>, Vec<String>) {
        let changes = HeaderChanges {
            set: set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            remove: remove.iter().map(ToString::to_string).collect(),
        };
        let mut problems = Vec::new();
        (Changes::new(&changes, "request_headers", &mut |problem| problems.push(problem)), problems)
    }

    #[test]
    fn what_is_set_replaces_all_of_its_name_and_what_is_removed_is_gone() {
        let (changes, problems) = changes(&[("X-Frame-Options", "DENY")], &["Server"]);
        assert_eq!(problems, Vec::<String>::new());
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("x-frame-options", "a"), ("x-frame-options", "b"), ("server", "x"), ("etag", "y")]
        {
            headers.append(name, HeaderValue::from_static(value));
        }
        changes.expect("changes").apply(&mut headers);
        let left: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(left.len(), 2, "{left:?}");
        assert_eq!(headers["x-frame-options"], "DENY");
        assert_eq!(headers["etag"], "y");
    }

    #[test]
    fn what_frames_a_message_or_is_no_header_is_reported_and_left_out() {
        let (kept, problems) = changes(
            &[("Content-Length", "5"), ("a b", "x"), ("x-lines", "a\r\nb: c"), ("x-good", "1")],
            &["Connection", "Host", "TRANSFER-ENCODING"],
        );
        assert_eq!(problems.len(), 6, "{problems:?}");
        let kept = kept.expect("one is left");
        assert_eq!((kept.set.len(), kept.remove.len()), (1, 0));
        let (none, _) = changes(&[("host", "x")], &[]);
        assert!(none.is_none());
    }
}
