//! Numbers added up. Times inside are µs, those that are shown ms.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use protocol::traffic::Latency;
use serde::Serialize;

use super::range::Window;

/// What was counted in a minute or an hour.
#[derive(Debug, Clone)]
pub struct Row {
    pub at: DateTime<Utc>,
    pub requests: Vec<i32>,
    pub received_bytes: i64,
    pub sent_bytes: i64,
    pub connections: i64,
    pub upstream_errors: i64,
    pub latency: Vec<i32>,
}

/// Rows added up. In a month a bucket holds more than the `u32` of a report.
#[derive(Debug, Clone, Default)]
struct Sum {
    requests: [u64; 5],
    received_bytes: u64,
    sent_bytes: u64,
    connections: u64,
    upstream_errors: u64,
    latency: Vec<u64>,
}

impl Sum {
    fn add(&mut self, row: &Row) {
        add(&mut self.requests, &row.requests);
        self.latency.resize(Latency::BUCKETS, 0);
        add(&mut self.latency, &row.latency);
        for (sum, more) in [
            (&mut self.received_bytes, row.received_bytes),
            (&mut self.sent_bytes, row.sent_bytes),
            (&mut self.connections, row.connections),
            (&mut self.upstream_errors, row.upstream_errors),
        ] {
            *sum = sum.saturating_add(positive(more));
        }
    }

    fn numbers(&self) -> Numbers {
        let latency = latency(&self.latency);
        let ms = |share| latency.quantile(share).map(|us| us / 1000.0);
        let [informational, successful, redirects, client_errors, server_errors] = self.requests;
        Numbers {
            requests: Requests { informational, successful, redirects, client_errors, server_errors },
            received_bytes: self.received_bytes,
            sent_bytes: self.sent_bytes,
            connections: self.connections,
            upstream_errors: self.upstream_errors,
            p50_ms: ms(0.5),
            p95_ms: ms(0.95),
            p99_ms: ms(0.99),
        }
    }
}

fn add(sums: &mut [u64], row: &[i32]) {
    for (sum, more) in sums.iter_mut().zip(row) {
        *sum = sum.saturating_add(positive((*more).into()));
    }
}

fn positive(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The same shares in counts that fit.
fn latency(counts: &[u64]) -> Latency {
    let most = counts.iter().copied().max().unwrap_or(0);
    let shift = (u64::BITS - most.leading_zeros()).saturating_sub(u32::BITS);
    let mut latency = Latency::default();
    for (bucket, count) in counts.iter().enumerate() {
        latency.add(bucket, u32::try_from(count >> shift).unwrap_or(u32::MAX));
    }
    latency
}

/// Requests by first digit of their status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = TrafficRequests)]
pub struct Requests {
    #[serde(rename = "1xx")]
    pub informational: u64,
    #[serde(rename = "2xx")]
    pub successful: u64,
    #[serde(rename = "3xx")]
    pub redirects: u64,
    #[serde(rename = "4xx")]
    pub client_errors: u64,
    #[serde(rename = "5xx")]
    pub server_errors: u64,
}

/// What is told of a span of time. Percentiles are within an eighth of the truth and absent without requests.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = TrafficNumbers)]
pub struct Numbers {
    pub requests: Requests,
    /// Bytes of bodies and of streams from clients.
    pub received_bytes: u64,
    /// Bytes of bodies and of streams to clients.
    pub sent_bytes: u64,
    /// Connections to the app's streams, and clients of those of UDP.
    pub connections: u64,
    /// Attempts at an instance that brought no answer.
    pub upstream_errors: u64,
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

/// The numbers of one step.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = TrafficPoint)]
pub struct Point {
    /// Begin of the step.
    pub at: DateTime<Utc>,
    #[serde(flatten)]
    pub numbers: Numbers,
}

/// The steps that have rows, in their order, and all of them together.
pub fn add_up(window: &Window, rows: &[Row]) -> (Vec<Point>, Numbers) {
    let mut steps: BTreeMap<DateTime<Utc>, Sum> = BTreeMap::new();
    let mut total = Sum::default();
    for row in rows {
        steps.entry(window.step_of(row.at)).or_default().add(row);
        total.add(row);
    }
    let points = steps.into_iter().map(|(at, sum)| Point { at, numbers: sum.numbers() }).collect();
    (points, total.numbers())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::range::Range;

    fn row(at: &str, took_us: u64, count: i32) -> Row {
        let mut latency = vec![0; Latency::BUCKETS];
        latency[Latency::bucket(took_us)] = count;
        let at = at.parse().expect("time");
        Row {
            at,
            requests: vec![0, count, 0, 0, 0],
            received_bytes: 1,
            sent_bytes: 10,
            connections: 2,
            upstream_errors: 0,
            latency,
        }
    }

    #[test]
    fn minutes_of_a_step_are_one_point_and_steps_without_requests_are_left_out() {
        let window = Range::Day.window("2026-11-22T13:37:42Z".parse().expect("time"));
        let rows = [
            row("2026-11-22T10:04:00Z", 10_000, 1),
            row("2026-11-22T10:00:00Z", 10_000, 98),
            row("2026-11-22T12:00:00Z", 900_000, 1),
        ];
        let (points, total) = add_up(&window, &rows);
        let told: Vec<_> =
            points.iter().map(|point| (point.at.to_rfc3339(), point.numbers.requests.successful)).collect();
        assert_eq!(
            told,
            [("2026-11-22T10:00:00+00:00".to_owned(), 99), ("2026-11-22T12:00:00+00:00".to_owned(), 1)]
        );
        assert_eq!((total.requests.successful, total.received_bytes, total.sent_bytes), (100, 3, 30));
        assert_eq!(total.connections, 6);
        let near = |told: Option<f64>, ms: f64| (told.expect("told") / ms - 1.0).abs() < 0.25;
        assert!(near(total.p50_ms, 10.0) && near(total.p95_ms, 10.0), "{total:?}");
        assert!(near(points[1].numbers.p50_ms, 900.0), "{points:?}");
        let (none, total) = add_up(&window, &[]);
        assert!(none.is_empty() && total.p99_ms.is_none());
    }

    #[test]
    fn counts_of_a_month_keep_their_shares_beyond_what_a_report_can_hold() {
        let window = Range::Month.window("2026-11-22T13:37:42Z".parse().expect("time"));
        let mut rows = vec![row("2026-11-22T10:00:00Z", 10_000, i32::MAX); 9];
        rows.push(row("2026-11-22T10:00:00Z", 900_000, i32::MAX));
        let (_, total) = add_up(&window, &rows);
        assert_eq!(total.requests.successful, 10 * u64::from(i32::MAX.unsigned_abs()));
        assert!(
            total.p50_ms.is_some_and(|ms| ms < 20.0) && total.p95_ms.is_some_and(|ms| ms > 500.0),
            "{total:?}"
        );
    }
}
