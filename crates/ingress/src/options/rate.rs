//! Requests per client address: a bucket of tokens each, kept as the one moment at which it is full again (the generic
//! cell rate algorithm). All routes share one table of fixed size, so that neither many routes nor many addresses take
//! more memory; when it is full, the buckets that miss least are forgotten first. That bound is why this is not
//! `governor`, whose keyed limiters grow until someone sweeps them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use protocol::spec::options::RateLimit;

/// Locks, so that requests of different clients seldom wait for each other.
const SHARDS: usize = 64;
/// Buckets per lock: 262,144 in all, of about 8 MiB.
const PER_SHARD: usize = 4096;

const SECOND: u64 = 1_000_000_000;

/// Route and client.
type Key = (u64, u64);

/// The buckets of all routes.
#[derive(Debug)]
pub(crate) struct Buckets {
    started: Instant,
    hasher: RandomState,
    /// When a bucket is full again, in nanoseconds since the start. A full bucket is none.
    shards: Vec<Mutex<HashMap<Key, u64>>>,
}

impl Default for Buckets {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }
}

/// The limit of one route.
#[derive(Debug)]
pub(crate) struct Limit {
    buckets: Arc<Buckets>,
    route: u64,
    /// Nanoseconds for one token.
    token: u64,
    /// How far from full a bucket may be and still give one.
    tolerance: u64,
}

impl Limit {
    /// Buckets are the same as before as long as `route` and the limit are.
    pub(crate) fn new(limit: RateLimit, route: &str, buckets: &Arc<Buckets>) -> Result<Self, String> {
        let burst = limit.burst.unwrap_or(limit.requests);
        if limit.requests == 0 || limit.per_s == 0 || burst == 0 {
            return Err("has a rate limit of nothing".to_owned());
        }
        let token = (u64::from(limit.per_s) * SECOND / u64::from(limit.requests)).max(1);
        Ok(Self {
            route: buckets.hasher.hash_one((route, limit.requests, limit.per_s, burst)),
            buckets: Arc::clone(buckets),
            token,
            tolerance: token.saturating_mul(u64::from(burst) - 1),
        })
    }

    /// Takes a token of a client, or tells in how many seconds there is one.
    pub(crate) fn take(&self, client: IpAddr) -> Result<(), u64> {
        let now = u64::try_from(self.buckets.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.take_at(client, now)
    }

    fn take_at(&self, client: IpAddr, now: u64) -> Result<(), u64> {
        let key = (self.route, key_of(client));
        let shard = self.buckets.hasher.hash_one(key) % SHARDS as u64;
        let shard = &self.buckets.shards[usize::try_from(shard).unwrap_or(0)];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = shard.get(&key).copied().unwrap_or(now).max(now);
        if let Some(wait @ 1..) = (full_at - now).checked_sub(self.tolerance) {
            return Err(wait.div_ceil(SECOND));
        }
        if shard.len() >= PER_SHARD && !shard.contains_key(&key) {
            forget(&mut shard, now);
        }
        shard.insert(key, full_at.saturating_add(self.token));
        Ok(())
    }
}

/// Makes room: buckets that are full say nothing, and of the others the half that is nearest to it goes.
fn forget(shard: &mut HashMap<Key, u64>, now: u64) {
    shard.retain(|_, full_at| *full_at > now);
    if shard.len() > PER_SHARD * 3 / 4 {
        let mut moments: Vec<u64> = shard.values().copied().collect();
        let middle = moments.len() / 2;
        let (_, median, _) = moments.select_nth_unstable(middle);
        let median = *median;
        shard.retain(|_, full_at| *full_at > median);
    }
}

/// An IPv6 client has at least a /64 to itself.
fn key_of(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(address) => u64::from(address.to_bits()) | 0xFFFF << 32,
        IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(requests: u32, per_s: u32, burst: Option<u32>) -> Limit {
        Limit::new(RateLimit { requests, per_s, burst }, "a", &Arc::default()).expect("a limit")
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("address")
    }

    #[test]
    fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
        let limit = limit(2, 1, Some(3));
        let client = address("192.0.2.1");
        for _ in 0..3 {
            assert_eq!(limit.take_at(client, SECOND), Ok(()));
        }
        assert_eq!(limit.take_at(client, SECOND), Err(1));
        assert_eq!(limit.take_at(client, SECOND + SECOND / 2 - 1), Err(1));
        assert_eq!(limit.take_at(client, SECOND + SECOND / 2), Ok(()));
        assert_eq!(limit.take_at(client, SECOND + SECOND / 2), Err(1));
        for _ in 0..3 {
            assert_eq!(limit.take_at(client, 10 * SECOND), Ok(()), "full again, and no fuller");
        }
        assert_eq!(limit.take_at(client, 10 * SECOND), Err(1));
    }

    #[test]
    fn the_wait_is_told_in_whole_seconds() {
        let limit = limit(1, 60, None);
        assert_eq!(limit.take_at(address("192.0.2.1"), 0), Ok(()));
        assert_eq!(limit.take_at(address("192.0.2.1"), SECOND / 2), Err(60));
        assert_eq!(limit.take_at(address("192.0.2.2"), SECOND / 2), Ok(()), "each has its own");
    }

    #[test]
    fn an_ipv6_client_is_its_64() {
        let limit = limit(1, 60, None);
        assert_eq!(limit.take_at(address("2001:db8::1"), 0), Ok(()));
        assert_eq!(limit.take_at(address("2001:db8::ffff:1"), 0), Err(60));
        assert_eq!(limit.take_at(address("2001:db8:0:1::1"), 0), Ok(()));
    }

    #[test]
    fn a_table_swap_empties_no_bucket_and_a_changed_limit_begins_anew() {
        let buckets = Arc::default();
        let with = |requests| {
            Limit::new(RateLimit { requests, per_s: 60, burst: Some(1) }, "a", &buckets).expect("a limit")
        };
        let client = address("192.0.2.1");
        assert_eq!(with(1).take_at(client, 0), Ok(()));
        assert_eq!(with(1).take_at(client, 0), Err(60));
        assert_eq!(with(2).take_at(client, 0), Ok(()));
    }

    #[test]
    fn addresses_without_end_take_no_memory_without_end_and_the_worst_stays_limited() {
        let limit = limit(10, 1, Some(20));
        let worst = address("198.51.100.1");
        while limit.take_at(worst, 0).is_ok() {}
        for number in 0..600_000_u32 {
            let _ = limit.take_at(IpAddr::from(number.to_be_bytes()), 0);
        }
        let kept: usize = limit.buckets.shards.iter().map(|shard| shard.lock().expect("lock").len()).sum();
        assert!(kept <= SHARDS * PER_SHARD, "{kept}");
        assert_eq!(limit.take_at(worst, 0), Err(1));
    }

    #[test]
    fn nothing_is_no_limit() {
        for (requests, per_s, burst) in [(0, 1, None), (1, 0, None), (1, 1, Some(0))] {
            assert!(Limit::new(RateLimit { requests, per_s, burst }, "a", &Arc::default()).is_err());
        }
    }
}
