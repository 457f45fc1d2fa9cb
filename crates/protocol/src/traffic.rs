//! What came in for the apps: counted and sampled where requests are served, added up in the control plane.

use std::net::{IpAddr, SocketAddr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Apps in one [`TrafficReport`]; the rest follows in the next one.
pub const MAX_APPS: usize = 200;
/// Paths of one app in one report: those with the most requests.
pub const MAX_PATHS: usize = 20;
/// Requests of one app that are told whole in one report.
pub const MAX_SAMPLES: usize = 50;
/// Characters of a path, a user agent or a referrer; what is longer is cut.
pub const MAX_TEXT: usize = 256;

/// What one ingress served since its last report. Sent every 10 s if there was anything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrafficReport {
    /// This run of the program. With `number` it makes the report known, so that one that comes twice counts once.
    pub run: Uuid,
    /// From 1, one more for each report of the run.
    pub number: u64,
    /// End of the time that it covers.
    pub at: DateTime<Utc>,
    /// At most [`MAX_APPS`], each with at least one request, connection or byte.
    pub apps: Vec<AppTraffic>,
}

/// The finished requests of one app.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AppTraffic {
    /// The app as in [`crate::spec::Route::app`].
    pub app: String,
    /// By first digit of the status, from 1.
    pub requests: [u64; 5],
    /// Bytes of bodies from clients, and to them.
    pub received_bytes: u64,
    pub sent_bytes: u64,
    /// Connections to the app's streams.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub connections: u64,
    /// Attempts at an instance that brought no answer.
    pub upstream_errors: u64,
    pub latency: Latency,
    /// At most [`MAX_PATHS`], the most asked for first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathTraffic>,
    /// At most [`MAX_SAMPLES`], errors before others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<AccessSample>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The requests for one path of an app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathTraffic {
    /// As [`path_pattern`] makes it.
    pub path: String,
    pub requests: u64,
    /// Of them those that were answered with 500 and above.
    pub errors: u64,
    /// Sum over the requests.
    pub took_us: u64,
}

/// One request, told whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessSample {
    /// When its answer ended.
    pub at: DateTime<Utc>,
    pub method: String,
    pub host: String,
    /// Without the query, which may hold secrets.
    pub path: String,
    pub status: u16,
    /// From its head to the end of its answer.
    pub took_us: u64,
    pub received_bytes: u64,
    pub sent_bytes: u64,
    pub client: IpAddr,
    /// For example `HTTP/2.0`.
    pub protocol: String,
    pub tls: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referer: Option<String>,
    /// The instance that answered; absent where the ingress answered by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<SocketAddr>,
}

/// Times in buckets of which each is at most a quarter wider than its lower end, so that percentiles of sums can be
/// told within an eighth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency([u32; Latency::BUCKETS]);

impl Default for Latency {
    fn default() -> Self {
        Self([0; Self::BUCKETS])
    }
}

impl Latency {
    /// The first holds what is below 512 µs, the last what is from 134 s on; four to each doubling in between.
    pub const BUCKETS: usize = 1 + 4 * 18 + 1;
    const FIRST: u32 = 512_u32.ilog2();

    /// The bucket of a time.
    pub fn bucket(took_us: u64) -> usize {
        let Some(power) = took_us.checked_ilog2().filter(|power| *power >= Self::FIRST) else {
            return 0;
        };
        let quarter = (took_us >> (power - 2)) & 3;
        let bucket = 1 + 4 * u64::from(power - Self::FIRST) + quarter;
        usize::try_from(bucket).map_or(Self::BUCKETS - 1, |bucket| bucket.min(Self::BUCKETS - 1))
    }

    /// Where a bucket begins, µs.
    pub fn lower_us(bucket: usize) -> u64 {
        match bucket.checked_sub(1) {
            None => 0,
            Some(step) => (4 + step as u64 % 4) << (u64::from(Self::FIRST) + step as u64 / 4 - 2),
        }
    }

    pub fn record(&mut self, took_us: u64) {
        self.add(Self::bucket(took_us), 1);
    }

    /// Counts `count` more in a bucket; a bucket that does not exist is left out.
    pub fn add(&mut self, bucket: usize, count: u32) {
        if let Some(held) = self.0.get_mut(bucket) {
            *held = held.saturating_add(count);
        }
    }

    /// All that `other` counted is counted here too.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in other.0.iter().enumerate() {
            self.add(bucket, *count);
        }
    }

    /// By bucket.
    pub fn counts(&self) -> &[u32; Self::BUCKETS] {
        &self.0
    }

    pub fn count(&self) -> u64 {
        self.0.iter().copied().map(u64::from).sum()
    }

    /// The time in µs that `share` of the requests (0.99) did not take longer than, as if those of a bucket were spread
    /// evenly over it. Absent without requests.
    #[expect(
        clippy::cast_precision_loss,
        reason = "numbers below 2^53: 74 buckets, the last one from 2^27 µs on"
    )]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = share.clamp(0.0, 1.0) * self.count() as f64;
        let mut before = 0.0;
        let last = self.0.iter().rposition(|count| *count > 0)?;
        for (bucket, count) in self.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = f64::from(*count);
            if before + count >= wanted || bucket == last {
                let lower = Self::lower_us(bucket) as f64;
                let upper = Self::lower_us(bucket + 1) as f64;
                return Some(lower + (upper - lower) * ((wanted - before) / count).clamp(0.0, 1.0));
            }
            before += count;
        }
        None
    }
}

/// Bucket and count of those that are not empty.
impl Serialize for Latency {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().enumerate().filter(|(_, count)| **count > 0))
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut latency = Self::default();
        for (bucket, count) in Vec::<(usize, u32)>::deserialize(from)? {
            latency.add(bucket, count);
        }
        Ok(latency)
    }
}

/// A path under which requests for the same thing of an app are counted together: without its query, and with `*` for
/// each part that is a number, a UUID or another long hexadecimal name.
pub fn path_pattern(path: &str) -> String {
    let parts = before_query(path).split('/').map(|part| if is_name_of_one(part) { "*" } else { part });
    let pattern: Vec<&str> = parts.collect();
    cut(&pattern.join("/")).to_owned()
}

/// Digits alone, or at least 16 hexadecimal ones, with dashes or without.
fn is_name_of_one(part: &str) -> bool {
    let hex = part.bytes().filter(u8::is_ascii_hexdigit).count();
    let only = |of: fn(u8) -> bool| !part.is_empty() && part.bytes().all(of);
    only(|byte| byte.is_ascii_digit()) || (hex >= 16 && only(|byte| byte.is_ascii_hexdigit() || byte == b'-'))
}

/// Of an address or a path; the rest may hold secrets.
pub fn before_query(address: &str) -> &str {
    address.split(['?', '#']).next().unwrap_or_default()
}

/// The first [`MAX_TEXT`] characters.
pub fn cut(text: &str) -> &str {
    text.char_indices().nth(MAX_TEXT).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_at_most_a_quarter_wider_than_its_lower_end_and_none_is_left_out() {
        for bucket in 0..Latency::BUCKETS {
            let lower = Latency::lower_us(bucket);
            assert_eq!(Latency::bucket(lower), bucket, "{lower} µs");
            let last = Latency::lower_us(bucket + 1) - 1;
            assert_eq!(Latency::bucket(last), bucket, "{last} µs");
            assert!(bucket == 0 || (last - lower) * 4 < lower, "{lower} to {last} µs");
        }
        assert_eq!(Latency::bucket(u64::MAX), Latency::BUCKETS - 1);
    }

    #[test]
    fn percentiles_of_merged_counts_are_within_an_eighth() {
        let (mut one, mut other) = (Latency::default(), Latency::default());
        for took_ms in 1..=1000_u64 {
            let into = if took_ms % 2 == 0 { &mut one } else { &mut other };
            into.record(took_ms * 1000);
        }
        one.merge(&other);
        for (share, wanted) in [(0.5, 500_000.0), (0.95, 950_000.0), (0.99, 990_000.0)] {
            let told = one.quantile(share).expect("there are requests");
            assert!((told / wanted - 1.0).abs() < 0.125, "{share}: {told}");
        }
        assert_eq!(Latency::default().quantile(0.5), None);
    }

    #[test]
    fn only_buckets_with_requests_are_sent_and_unknown_ones_are_left_out() {
        let mut latency = Latency::default();
        latency.record(700);
        let sent = serde_json::to_string(&latency).expect("it can be written");
        assert_eq!(sent, "[[2,1]]");
        assert_eq!(serde_json::from_str::<Latency>(&sent).expect("it can be read"), latency);
        let strange: Latency = serde_json::from_str("[[2,1],[999,5]]").expect("it can be read");
        assert_eq!(strange, latency);
    }

    #[test]
    fn paths_of_things_of_one_kind_are_one() {
        let cases = [
            ("/users/17/orders/9?page=2", "/users/*/orders/*"),
            ("/f/0b1e2d3c-4a5b-6c7d-8e9f-a0b1c2d3e4f5", "/f/*"),
            ("/assets/app-5f3a.js", "/assets/app-5f3a.js"),
            ("/deadbeef", "/deadbeef"),
            ("/callback#token=s3cret?", "/callback"),
            ("/", "/"),
        ];
        for (path, pattern) in cases {
            assert_eq!(path_pattern(path), pattern);
        }
        assert_eq!(path_pattern(&"/ä".repeat(500)).chars().count(), MAX_TEXT);
    }
}
