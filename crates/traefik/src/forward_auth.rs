//! A service that is asked about requests, in Traefik's words. Traefik resolves names by itself and looks at no address,
//! so what it asks by a name has to show a certificate for it: what is inside the fleet has none.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use protocol::spec::ForwardAuth;
use protocol::spec::forward_auth::Target;

use crate::options::{Paths, pattern};
use crate::rules::literal;
use crate::words::Middleware;

/// As the built-in engine has it.
const LONGEST_REFUSAL: u32 = 256 * 1024;
/// Of a header's name; each doubles its ways to be written.
const MOST_SEPARATORS: usize = 4;

/// Where Traefik asks; `None` when it can ask nobody. It knows one address: of several instances the first.
fn address(auth: &ForwardAuth) -> Option<String> {
    match auth.target() {
        Target::App { path, .. } => auth.instances.first().map(|instance| format!("http://{instance}{path}")),
        Target::Address(address) => {
            let is_written_out = address.strip_prefix("http://").is_some_and(is_written_out);
            (address.starts_with("https://") || is_written_out).then(|| address.to_owned())
        }
    }
}

/// Whether an address is no name. The control plane has judged it then.
fn is_written_out(rest: &str) -> bool {
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    authority.parse::<SocketAddr>().is_ok() || authority.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// Whether nobody can be asked: then nobody gets in.
pub(crate) fn is_closed(auth: &ForwardAuth) -> bool {
    address(auth).is_none()
}

pub(crate) fn question(auth: &ForwardAuth) -> Option<Middleware> {
    Some(Middleware::ForwardAuth {
        address: address(auth)?,
        trust_forward_header: false,
        auth_request_headers: auth.request_headers.clone(),
        auth_response_headers: auth.response_headers.clone(),
        preserve_location_header: matches!(auth.target(), Target::App { .. }),
        max_response_body_size: LONGEST_REFUSAL,
    })
}

/// Takes off what only the service may say: names that apps behind CGI take for those that it says, and where nobody is
/// asked, which would replace them, these too.
pub(crate) fn unspoofed(auth: &ForwardAuth, paths: Paths) -> Option<Middleware> {
    let own = auth.response_headers.iter().filter(|_| paths == Paths::Skipped).cloned();
    let taken = auth.response_headers.iter().flat_map(|name| aliases(name)).chain(own);
    let taken: BTreeMap<String, String> = taken.map(|name| (name, String::new())).collect();
    (!taken.is_empty()).then(|| Middleware::Headers {
        custom_request_headers: taken,
        custom_response_headers: BTreeMap::new(),
    })
}

/// `name` with `_` for `-`, here and there.
fn aliases(name: &str) -> Vec<String> {
    let separators: Vec<usize> =
        name.match_indices(['-', '_']).map(|(at, _)| at).take(MOST_SEPARATORS).collect();
    let written = |choice: usize| {
        let mut bytes = name.as_bytes().to_vec();
        for (bit, at) in separators.iter().enumerate() {
            bytes[*at] = if choice >> bit & 1 == 1 { b'_' } else { b'-' };
        }
        String::from_utf8(bytes).ok()
    };
    (0..1 << separators.len()).filter_map(written).filter(|other| other != name).collect()
}

/// The rule of the paths for which nobody is asked. What an app might read as another path is not among them.
pub(crate) fn skipped(auth: &ForwardAuth) -> Option<String> {
    let path = |skipped: &String| match skipped.strip_suffix('*') {
        Some(below) => format!("PathPrefix({})", literal(below)),
        None => format!("Path({})", literal(skipped)),
    };
    let paths: Vec<String> = auth.skip.iter().map(path).collect();
    let ambiguous = literal(&format!(r"[{}]|//|/\.\.?(/|$)", pattern(r"%\;")));
    (!paths.is_empty()).then(|| format!("({}) && !PathRegexp({ambiguous})", paths.join(" || ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traefik_asks_whom_it_cannot_be_led_away_from() {
        let at = |url: &str| address(&ForwardAuth::new(url));
        for url in
            ["https://auth.test/verify?a=1", "http://198.51.100.7:4180/verify", "http://[2606:4700::1111]/"]
        {
            assert_eq!(at(url).as_deref(), Some(url));
        }
        for url in
            ["http://auth.test/verify", "http://auth.test:1.1.1.1/", "ftp://auth.test/", "app:door/verify"]
        {
            assert_eq!(at(url), None, "{url}");
        }
        let instances =
            ["10.50.0.2:20000", "10.50.0.3:20001"].map(|one| one.parse().expect("address")).to_vec();
        let app = ForwardAuth { instances, ..ForwardAuth::new("app:door/verify?a=1") };
        assert_eq!(address(&app).as_deref(), Some("http://10.50.0.2:20000/verify?a=1"));
    }

    #[test]
    fn what_only_the_service_may_say_is_taken_off_however_it_is_written() {
        let response_headers = ["Remote-User", "X-Auth-Mail"].map(str::to_owned).to_vec();
        let auth = ForwardAuth { response_headers, ..ForwardAuth::new("app:door") };
        let taken = |paths| match unspoofed(&auth, paths) {
            Some(Middleware::Headers { custom_request_headers, .. }) => {
                custom_request_headers.into_keys().collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        };
        let aliases = ["Remote_User", "X-Auth_Mail", "X_Auth-Mail", "X_Auth_Mail"];
        assert_eq!(taken(Paths::Asked), aliases);
        assert_eq!(taken(Paths::Skipped).len(), aliases.len() + 2);
        assert_eq!(unspoofed(&ForwardAuth::new("app:door"), Paths::Skipped), None);
    }

    #[test]
    fn paths_that_are_skipped_are_a_rule() {
        let skip = ["/health", "/public/*"].map(str::to_owned).to_vec();
        let auth = ForwardAuth { skip, ..ForwardAuth::new("app:door") };
        let rule = r"(Path(`/health`) || PathPrefix(`/public/`)) && !PathRegexp(`[\%\\\;]|//|/\.\.?(/|$)`)";
        assert_eq!(skipped(&auth).as_deref(), Some(rule));
        assert_eq!(skipped(&ForwardAuth::new("app:door")), None);
    }
}
