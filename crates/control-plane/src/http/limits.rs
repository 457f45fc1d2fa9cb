//! Rate limits, named for what they protect. Each key has its own bucket; a bucket that is full again is forgotten.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use protocol::ids::{NodeId, OrganizationId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::error::{Code, Error, Result};

/// Keys that one limiter remembers before it looks for ones to forget.
const KEYS: usize = 10_000;
/// Password hashes computed at the same time; each takes 19 MiB and a core.
const HASHING: usize = 4;
/// Event streams of all clients of this process.
const STREAMS: usize = 1_000;
/// Uploads at the same time.
const UPLOADS: usize = 8;
/// Examinations of host names at the same time; each knocks on ports of the world outside.
const EXAMINATIONS: usize = 4;

/// All limits of one control plane.
#[derive(Debug)]
pub struct Limits {
    /// Password checks asked for by one address.
    pub password_by_address: Limiter<IpAddr>,
    /// Password checks against one account, wherever they come from.
    pub password_by_account: Limiter<String>,
    /// Guesses of a setup code by one address.
    pub setup: Limiter<IpAddr>,
    /// Guesses of a join token by one address.
    pub join: Limiter<IpAddr>,
    /// Looks at the DNS that members of an organization ask for.
    pub domain_checks: Limiter<OrganizationId>,
    /// Examinations of host names asked for by one organization.
    pub examinations_by_organization: Limiter<OrganizationId>,
    /// Checks of a node that people ask for.
    pub node_checks: Limiter<NodeId>,
    hashing: Semaphore,
    examinations: Semaphore,
    streams: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            password_by_address: Limiter::per_minute("password checks from your address", 20),
            password_by_account: Limiter::per_minute("password checks of this account", 10),
            setup: Limiter::per_minute("setup attempts from your address", 10),
            join: Limiter::per_minute("join attempts from your address", 30),
            domain_checks: Limiter::per_minute("looks at the DNS of your organization", 60),
            examinations_by_organization: Limiter::per_minute("examinations by your organization", 20),
            node_checks: Limiter::per_minute("checks of this node", 10),
            hashing: Semaphore::new(HASHING),
            examinations: Semaphore::new(EXAMINATIONS),
            streams: Arc::new(Semaphore::new(STREAMS)),
            uploads: Arc::new(Semaphore::new(UPLOADS)),
        }
    }
}

impl Limits {
    /// Held while a password is hashed; waits for its turn.
    pub async fn hashing(&self) -> Option<SemaphorePermit<'_>> {
        // None only after a close, which nobody does.
        self.hashing.acquire().await.ok()
    }

    /// Held while a host name is examined; waits for its turn.
    pub async fn examination(&self) -> Option<SemaphorePermit<'_>> {
        // None only after a close, which nobody does.
        self.examinations.acquire().await.ok()
    }

    /// Held as long as an event stream lasts.
    pub fn stream(&self) -> Result<OwnedSemaphorePermit> {
        self.streams.clone().try_acquire_owned().map_err(|_| {
            Error::new(Code::TooMany, "too many event streams are open")
                .hint("Try again in a minute, or poll")
        })
    }

    /// Held as long as an upload lasts.
    pub fn upload(&self) -> Result<OwnedSemaphorePermit> {
        self.uploads.clone().try_acquire_owned().map_err(|_| {
            Error::new(Code::TooMany, "too many uploads are under way").hint("Try again in a minute")
        })
    }
}

/// One limit.
#[derive(Debug)]
pub struct Limiter<K: Hash + Eq + Clone> {
    what: &'static str,
    buckets: DefaultKeyedRateLimiter<K>,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    fn per_minute(what: &'static str, times: u32) -> Self {
        let times = NonZeroU32::new(times).unwrap_or(NonZeroU32::MIN);
        Self { what, buckets: RateLimiter::keyed(Quota::per_minute(times)) }
    }

    /// Counts one attempt of `key`; an error says when to come back.
    pub fn check(&self, key: &K) -> Result<()> {
        if self.buckets.len() > KEYS {
            self.buckets.retain_recent();
            self.buckets.shrink_to_fit();
        }
        self.buckets.check_key(key).map_err(|until| {
            let seconds = until.wait_time_from(DefaultClock::default().now()).as_secs() + 1;
            Error::new(Code::TooMany, format!("too many {}", self.what))
                .hint(format!("Try again in {seconds} s"))
        })
    }
}

/// Whom an address stands for: an IPv6 subscriber has a whole /64.
pub fn requester(address: Option<IpAddr>) -> IpAddr {
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V6(address)) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        Some(address) => address,
        None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_runs_out_without_costing_another() {
        let limiter = Limiter::per_minute("tries", 2);
        limiter.check(&1).expect("first");
        limiter.check(&1).expect("second");
        assert_eq!(limiter.check(&1).expect_err("third").code(), Code::TooMany);
        limiter.check(&2).expect("another key");
    }

    #[test]
    fn a_subscriber_of_ipv6_is_one_requester() {
        let of = |text: &str| requester(Some(text.parse().expect("address")));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
