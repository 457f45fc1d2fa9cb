//! HTTP Basic authentication (RFC 7617). A password costs tens of milliseconds on purpose, so only few are checked at
//! a time, never on the threads that serve, and who was let in is known for a few minutes by a keyed digest.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use protocol::spec::options::BasicAuth;
use sha2::Sha256;
use tokio::sync::Semaphore;
use tracing::error;

/// How long a password is taken without computing its hash again.
const KNOWN: Duration = Duration::from_mins(5);
/// Credentials remembered, of all routes.
const MAX_KNOWN: usize = 8192;
/// Requests of all routes that wait for a check.
const MAX_WAITING: usize = 64;
/// How long one waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longer credentials are nobody's.
const MAX_CREDENTIALS: usize = 1024;
/// A hash of a higher cost takes more than a second.
const MAX_COST: u32 = 14;

type Digest = [u8; 32];

/// What became of a request's credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    /// They are missing or wrong.
    Ask,
    /// Too many passwords are being checked.
    Busy,
}

/// The users of one route.
#[derive(Debug)]
pub(crate) struct Auth {
    users: HashMap<Box<str>, Arc<str>>,
    /// Checked instead of the hash of a user that there is not, so that both take as long.
    decoy: Option<Arc<str>>,
    pub(crate) challenge: HeaderValue,
    verifier: Arc<Verifier>,
}

impl Auth {
    /// A user with a hash that cannot be used is left out; the question remains, so that nothing opens by mistake.
    pub(crate) fn new(auth: &BasicAuth, verifier: Arc<Verifier>, report: &mut impl FnMut(String)) -> Self {
        let mut users = HashMap::with_capacity(auth.users.len());
        for (name, hash) in &auth.users {
            if name.contains(':') || !is_usable(hash) {
                let name = name.escape_debug();
                report(format!("has a user `{name}` in basic_auth whose name or bcrypt hash cannot be used"));
            } else {
                users.insert(name.as_str().into(), hash.as_str().into());
            }
        }
        let challenge = challenge(&auth.realm).unwrap_or_else(|| {
            report("has a realm in basic_auth that is no visible ASCII text".to_owned());
            HeaderValue::from_static("Basic realm=\"Restricted\", charset=\"UTF-8\"")
        });
        Self { decoy: users.values().next().cloned(), users, challenge, verifier }
    }

    pub(crate) async fn check(&self, headers: &HeaderMap) -> Verdict {
        let Some((user, password)) = credentials(headers) else { return Verdict::Ask };
        let found = self.users.get(user.as_str());
        let Some(hash) = found.or(self.decoy.as_ref()) else { return Verdict::Ask };
        self.verifier.verify(Guess { user: &user, password, hash, exists: found.is_some() }).await
    }
}

/// A password to be checked.
struct Guess<'a> {
    user: &'a str,
    password: String,
    hash: &'a Arc<str>,
    /// Otherwise the hash is another's, and the answer is no.
    exists: bool,
}

/// `$2b$10$` and 53 characters, of a cost that can be borne.
fn is_usable(hash: &str) -> bool {
    hash.len() == 60 && hash.parse::<bcrypt::HashParts>().is_ok_and(|parts| parts.get_cost() <= MAX_COST)
}

fn challenge(realm: &str) -> Option<HeaderValue> {
    if !realm.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return None;
    }
    let realm = realm.replace('\\', "\\\\").replace('"', "\\\"");
    HeaderValue::try_from(format!("Basic realm=\"{realm}\", charset=\"UTF-8\"")).ok()
}

fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > MAX_CREDENTIALS {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Checks passwords for all routes.
pub(crate) struct Verifier {
    key: [u8; 32],
    known: Mutex<HashMap<Digest, Instant>>,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

impl Default for Verifier {
    fn default() -> Self {
        // Half of the machine serves on while passwords are guessed.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            key: rand::random(),
            known: Mutex::default(),
            places: Arc::new(Semaphore::new((cores / 2).max(1))),
            waiting: AtomicUsize::new(0),
        }
    }
}

impl Verifier {
    async fn verify(&self, guess: Guess<'_>) -> Verdict {
        let digest = self.digest(&guess);
        if self.knows(&digest) {
            return Verdict::Pass;
        }
        let Some(waiting) = Waiting::begin(&self.waiting) else { return Verdict::Busy };
        let place = tokio::time::timeout(PATIENCE, Arc::clone(&self.places).acquire_owned()).await;
        let Ok(Ok(place)) = place else { return Verdict::Busy };
        drop(waiting);
        // A browser asks for a page and all that is on it at once: the first of these requests did the work.
        if self.knows(&digest) {
            return Verdict::Pass;
        }
        let (password, hash) = (guess.password, Arc::clone(guess.hash));
        let checked = tokio::task::spawn_blocking(move || {
            let verified = bcrypt::verify(password, &hash);
            drop(place);
            verified
        });
        match checked.await {
            Ok(Ok(true)) if guess.exists => {
                self.remember(digest);
                Verdict::Pass
            }
            Ok(Ok(_)) => Verdict::Ask,
            Ok(Err(_)) | Err(_) => {
                error!("a password could not be checked");
                Verdict::Ask
            }
        }
    }

    /// Holds the hash, so that a changed password is asked for at once.
    fn digest(&self, guess: &Guess<'_>) -> Digest {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("any key length is fine");
        for part in [guess.user, &guess.password, &**guess.hash] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    fn knows(&self, digest: &Digest) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(digest).is_some_and(|until| Instant::now() < *until)
    }

    fn remember(&self, digest: Digest) {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.retain(|_, until| now < *until);
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
        }
        known.insert(digest, now + KNOWN);
    }
}

/// One request that waits for a check.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Option<Self> {
        let waiting = Self(count);
        (count.fetch_add(1, Ordering::Relaxed) < MAX_WAITING).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(users: &[(&str, &str)], verifier: &Arc<Verifier>) -> Auth {
        let users = users
            .iter()
            .map(|(name, password)| ((*name).to_owned(), bcrypt::hash(password, 4).expect("hash")))
            .collect();
        let wanted = BasicAuth { realm: "Staging \"x\"".to_owned(), users };
        Auth::new(&wanted, Arc::clone(verifier), &mut |problem| panic!("{problem}"))
    }

    fn header(credentials: &str) -> HeaderMap {
        let value = format!("Basic {}", STANDARD.encode(credentials));
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::try_from(value).expect("value"))])
    }

    #[tokio::test]
    async fn only_the_right_password_passes_and_is_known_afterwards() {
        let verifier = Arc::new(Verifier::default());
        let auth = auth(&[("ada", "a:b c"), ("bob", "x")], &verifier);
        assert_eq!(auth.challenge, "Basic realm=\"Staging \\\"x\\\"\", charset=\"UTF-8\"");
        for wrong in ["ada:x", "bob:a:b c", "ada", "nobody:x", ":", "nobody:a:b c"] {
            assert_eq!(auth.check(&header(wrong)).await, Verdict::Ask, "{wrong}");
        }
        assert_eq!(auth.check(&HeaderMap::new()).await, Verdict::Ask);
        assert!(verifier.known.lock().expect("lock").is_empty());
        for _ in 0..2 {
            assert_eq!(auth.check(&header("ada:a:b c")).await, Verdict::Pass);
        }
        assert_eq!(verifier.known.lock().expect("lock").len(), 1);
        let mut two = header("ada:a:b c");
        two.append(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert_eq!(auth.check(&two).await, Verdict::Ask, "two readings");
    }

    #[tokio::test]
    async fn what_is_known_passes_while_all_places_are_taken_and_nothing_else_does() {
        let verifier = Arc::new(Verifier::default());
        let auth = auth(&[("ada", "x"), ("bob", "y")], &verifier);
        assert_eq!(auth.check(&header("ada:x")).await, Verdict::Pass);
        verifier.waiting.store(MAX_WAITING, Ordering::Relaxed);
        assert_eq!(auth.check(&header("ada:x")).await, Verdict::Pass);
        assert_eq!(auth.check(&header("bob:y")).await, Verdict::Busy);
        assert_eq!(verifier.waiting.load(Ordering::Relaxed), MAX_WAITING, "counted back");
    }

    #[tokio::test]
    async fn a_changed_hash_ends_what_was_known() {
        let verifier = Arc::new(Verifier::default());
        assert_eq!(auth(&[("ada", "x")], &verifier).check(&header("ada:x")).await, Verdict::Pass);
        assert_eq!(auth(&[("ada", "y")], &verifier).check(&header("ada:x")).await, Verdict::Ask);
    }

    #[tokio::test]
    async fn a_hash_that_cannot_be_used_closes_rather_than_opens() {
        let costly = format!("$2b$31${}", "a".repeat(53));
        let users = [("ada", "plain"), ("bob", &costly), ("c:d", "$2y$04$x")]
            .map(|(name, hash)| (name.to_owned(), hash.to_owned()));
        let wanted = BasicAuth { realm: "x\n".to_owned(), users: users.into() };
        let mut problems = Vec::new();
        let auth = Auth::new(&wanted, Arc::default(), &mut |problem| problems.push(problem));
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert_eq!(auth.check(&header("ada:plain")).await, Verdict::Ask);
    }

    #[test]
    fn hashes_of_htpasswd_are_taken() {
        assert!(is_usable("$2y$12$L6Bc/AlTQHyd9liGgGEZyOFLPHNgyxeEPfgYfBCVxJ7JIlwxyVU3u"));
        assert!(!is_usable("$apr1$x$y"));
    }
}
