//! Which order comes next for a name: pure rules.

use chrono::{DateTime, TimeDelta, Utc};
use protocol::job::ChallengeKind;

use super::config::Budget;
use super::renew_at;

/// Failures by which the CA says that it looked where the challenge should be, and did not find it.
pub const FAILED_CHECKS: [&str; 4] = ["acme_dns", "acme_connection", "acme_wrong_answer", "acme_caa"];

/// Why a certificate is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "kebab-case")]
pub enum Kind {
    First,
    Renewal,
    /// A person asked for it.
    Reissue,
}

/// What is there of a certificate.
#[derive(Debug, Clone)]
pub struct Present<'a> {
    pub host: &'a str,
    pub not_before: Option<DateTime<Utc>>,
    pub not_after: Option<DateTime<Utc>>,
    /// As the CA said.
    pub renew_at: Option<DateTime<Utc>>,
    pub staging: bool,
    pub reissue: bool,
}

/// Why an order is due at `now`, if it is. While the platform orders from a CA that browsers do not trust, nothing
/// replaces a certificate that they do.
pub fn due(present: &Present<'_>, orders_staging: bool, now: DateTime<Utc>) -> Option<Kind> {
    let (Some(from), Some(to)) = (present.not_before, present.not_after) else { return Some(Kind::First) };
    if orders_staging && !present.staging && to > now {
        return None;
    }
    if present.reissue {
        return Some(Kind::Reissue);
    }
    let renew = present.renew_at.unwrap_or_else(|| renew_at(present.host, from, to));
    let is_wrong_kind = present.staging && !orders_staging;
    (is_wrong_kind || renew <= now || to <= now).then_some(Kind::Renewal)
}

/// The last order of a name.
#[derive(Debug, Clone)]
pub struct Last {
    pub challenge: ChallengeKind,
    pub code: Option<String>,
}

/// The challenge of the next order: what worked the last time, else what is configured; another one after the CA could
/// not connect for it. `None` for a wildcard that no DNS provider covers.
pub fn challenge(
    host: &str,
    has_provider: bool,
    first: ChallengeKind,
    last: Option<&Last>,
) -> Option<ChallengeKind> {
    if host.starts_with("*.") {
        return has_provider.then_some(ChallengeKind::Dns01);
    }
    let rest = [ChallengeKind::Http01, ChallengeKind::TlsAlpn01, ChallengeKind::Dns01];
    let mut ways = vec![first];
    ways.extend(rest.into_iter().filter(|kind| *kind != first));
    ways.retain(|kind| *kind != ChallengeKind::Dns01 || has_provider);
    let Some((at, last)) = last.and_then(|last| {
        let at = ways.iter().position(|kind| *kind == last.challenge)?;
        Some((at, last))
    }) else {
        return ways.first().copied();
    };
    let is_closed = matches!(last.code.as_deref(), Some("acme_connection" | "acme_no_challenge"));
    Some(ways[if is_closed { (at + 1) % ways.len() } else { at }])
}

/// When the oldest of as many attempts as the budget has was; `None` where there is room.
#[derive(Debug, Clone, Default)]
pub struct Spent {
    pub domain: Option<DateTime<Utc>>,
    pub same_names: Option<DateTime<Utc>>,
    pub failures: Option<DateTime<Utc>>,
    pub orders: Option<DateTime<Utc>>,
}

/// Why no order may go out now, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    pub until: DateTime<Utc>,
    pub why: String,
}

/// Whether the budget is used up. A replacement that the CA asked for counts as an order alone.
pub fn wait(spent: &Spent, host: &str, domain: &str, budget: &Budget, replaces: bool) -> Option<Wait> {
    let Budget { domain: of_domain, same_names, failures, orders } = budget;
    let week = TimeDelta::days(7);
    let limits = [
        (spent.orders, TimeDelta::hours(3), format!("{orders} orders in 3 hours")),
        (spent.failures, TimeDelta::hours(1), format!("{failures} failed checks of {host} in an hour")),
        (spent.domain.filter(|_| !replaces), week, format!("{of_domain} certificates of {domain} in 7 days")),
        (
            spent.same_names.filter(|_| !replaces),
            week,
            format!("{same_names} certificates for the same names in 7 days"),
        ),
    ];
    let spent = limits.into_iter().filter_map(|(oldest, window, what)| Some((oldest? + window, what)));
    let (until, what) = spent.max_by_key(|(until, _)| *until)?;
    let why = format!(
        "The budget below the CA's limits is used up ({what}); the next order can go out on {}.",
        until.format("%Y-%m-%d at %H:%M UTC")
    );
    Some(Wait { until, why })
}

/// The part of a name by which CAs count: `example.co.uk` of `*.shop.example.co.uk`.
pub fn registered_domain(host: &str) -> &str {
    let name = host.strip_prefix("*.").unwrap_or(host);
    psl::domain_str(name).unwrap_or(name)
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
