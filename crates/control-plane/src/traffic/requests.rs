//! Which of the requests that are kept somebody wants to see, and how they are told.

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use protocol::traffic::MAX_TEXT;
use serde::{Deserialize, Serialize};

use super::cursor::Cursor;
use crate::apps::rules::check_text;
use crate::http::{Error, Result};

/// Requests of one page.
const PAGE: i64 = 50;
const MOST: i64 = 200;
/// Longer than any request takes.
const LONGEST_MS: f64 = 1e9;

/// As texts, so that what is wrong with one is told by its name.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RequestsQuery {
    /// A status, such as `404`, or a class of them, such as `5xx`.
    pub status: Option<String>,
    /// For example `GET`.
    pub method: Option<String>,
    /// What the path begins with.
    pub path: Option<String>,
    /// The whole host name.
    pub host: Option<String>,
    /// An address or a network, such as `192.0.2.0/24`. Finds networks that an address is in as well.
    pub client: Option<String>,
    /// Only those that took longer, in milliseconds.
    #[param(value_type = Option<f64>)]
    pub slower_than_ms: Option<String>,
    /// `next` of the page before.
    pub before: Option<String>,
    /// At most 200; 50 when absent.
    #[param(value_type = Option<i64>)]
    pub limit: Option<String>,
}

/// Which requests; what is absent does not matter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// The first and the last one.
    pub status: Option<(i32, i32)>,
    pub method: Option<String>,
    pub path: Option<String>,
    pub host: Option<String>,
    pub client: Option<IpNet>,
    pub slower_than_us: Option<i64>,
    pub before: Option<Cursor>,
    pub limit: i64,
}

impl RequestsQuery {
    pub fn filter(self) -> Result<Filter> {
        for (field, text) in [("method", &self.method), ("path", &self.path), ("host", &self.host)] {
            if let Some(text) = text {
                check_text(field, text, 1, MAX_TEXT)?;
            }
        }
        Ok(Filter {
            status: parsed("status", self.status, "a status such as 404, or a class such as 5xx", status)?,
            method: self.method.map(|method| method.to_ascii_uppercase()),
            path: self.path,
            host: self.host.map(|host| host.trim_end_matches('.').to_ascii_lowercase()),
            client: parsed("client", self.client, "an address or a network such as 192.0.2.0/24", network)?,
            slower_than_us: parsed("slower_than_ms", self.slower_than_ms, "a number of milliseconds", ms)?,
            before: parsed("before", self.before, "`next` of the page before", |text| text.parse().ok())?,
            limit: parsed("limit", self.limit, "between 1 and 200", limit)?.unwrap_or(PAGE),
        })
    }
}

fn parsed<T>(
    field: &str,
    text: Option<String>,
    wanted: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>> {
    let refused = || Error::invalid(field, format!("{field} must be {wanted}"));
    text.map(|text| parse(&text).ok_or_else(refused)).transpose()
}

fn status(text: &str) -> Option<(i32, i32)> {
    if let Some(class) = text.strip_suffix("xx") {
        let class: i32 = class.parse().ok().filter(|class| (1..=5).contains(class))?;
        return Some((class * 100, class * 100 + 99));
    }
    let status = text.parse().ok().filter(|status| (100..=599).contains(status))?;
    Some((status, status))
}

fn network(text: &str) -> Option<IpNet> {
    let address = || text.parse().ok().map(|address: std::net::IpAddr| IpNet::from(address.to_canonical()));
    text.parse().ok().map(|network: IpNet| network.trunc()).or_else(address)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "within the longest time, and parts of a µs do not matter"
)]
fn ms(text: &str) -> Option<i64> {
    let ms: f64 = text.parse().ok().filter(|ms| (0.0..=LONGEST_MS).contains(ms))?;
    Some((ms * 1000.0) as i64)
}

fn limit(text: &str) -> Option<i64> {
    text.parse().ok().filter(|limit| (1..=MOST).contains(limit))
}

/// One request, told whole.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = AccessedRequest)]
pub struct Accessed {
    pub id: String,
    /// When its answer ended.
    pub at: DateTime<Utc>,
    pub method: String,
    pub host: String,
    /// Without the query.
    pub path: String,
    pub status: i32,
    /// From its head to the end of its answer.
    pub took_ms: f64,
    /// Bytes of its body.
    pub received_bytes: i64,
    /// Bytes of the answer's body.
    pub sent_bytes: i64,
    /// Address or network, as far as the control plane is configured to keep it.
    pub client: Option<String>,
    /// For example `HTTP/2.0`.
    pub protocol: String,
    pub tls: bool,
    pub user_agent: Option<String>,
    pub referer: Option<String>,
    /// Address of the instance that answered; null where none did.
    pub upstream: Option<String>,
    /// Name of the host that took the request.
    pub node: String,
}

/// A page of requests, the newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AccessedRequests)]
pub struct Requests {
    pub items: Vec<Accessed>,
    /// `before` of the next page; null on the last one.
    pub next: Option<String>,
    /// For how many days requests are kept at most; 0 where none are.
    pub kept_days: u8,
    /// The time of the oldest one of the app that is kept, whether or not it is asked for; null without any. Of an app with
    /// many requests that is less than the days, and a failed one.
    pub kept_since: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(field: &str, text: &str) -> RequestsQuery {
        let mut query = RequestsQuery::default();
        let held = match field {
            "status" => &mut query.status,
            "method" => &mut query.method,
            "path" => &mut query.path,
            "host" => &mut query.host,
            "client" => &mut query.client,
            "slower_than_ms" => &mut query.slower_than_ms,
            "before" => &mut query.before,
            _ => &mut query.limit,
        };
        *held = Some(text.to_owned());
        query
    }

    #[test]
    fn filters_are_read() {
        let filter = |field, text| query(field, text).filter().expect(text);
        assert_eq!(filter("status", "5xx").status, Some((500, 599)));
        assert_eq!(filter("status", "404").status, Some((404, 404)));
        assert_eq!(filter("method", "get").method.as_deref(), Some("GET"));
        assert_eq!(filter("host", "Hello.Example.com.").host.as_deref(), Some("hello.example.com"));
        assert_eq!(filter("client", "192.0.2.7/24").client, "192.0.2.0/24".parse().ok());
        assert_eq!(filter("client", "::ffff:192.0.2.7").client, "192.0.2.7/32".parse().ok());
        assert_eq!(filter("slower_than_ms", "0.5").slower_than_us, Some(500));
        assert_eq!((filter("limit", "200").limit, filter("path", "/").limit), (200, 50));
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_name() {
        let cases: [(&str, &[&str]); 7] = [
            ("status", &["", "6xx", "0xx", "99", "600", "xx"]),
            ("method", &[""]),
            ("path", &[""]),
            ("client", &["here", "192.0.2", "192.0.2.0/33"]),
            ("slower_than_ms", &["-1", "NaN", "inf", "1e99", "1s"]),
            ("before", &["x", "0198c0de-0000-7000-8000-000000000000"]),
            ("limit", &["0", "201", "many"]),
        ];
        for (field, texts) in cases {
            for text in texts {
                let error = format!("{:?}", query(field, text).filter().expect_err(text));
                assert!(error.contains(&format!("field: Some(\"{field}\")")), "{error}");
            }
        }
    }
}
