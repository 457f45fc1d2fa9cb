//! From the row to the words.

use chrono::{DateTime, Utc};

use super::{Next, Source, Standing};
use crate::certificates::imports::ImportedCertificate;
use crate::certificates::renew_at;

/// Fewer days than these are told.
pub const EXPIRING_DAYS: i64 = 14;

/// What is stored of one host name.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) host: String,
    pub(super) source: Source,
    pub(super) issuer: Option<String>,
    pub(super) not_before: Option<DateTime<Utc>>,
    pub(super) not_after: Option<DateTime<Utc>>,
    pub(super) staging: bool,
    pub(super) failures: i32,
    pub(super) retry_at: Option<DateTime<Utc>>,
    /// As the CA said.
    pub(super) renew_at: Option<DateTime<Utc>>,
    /// A person asked for a new one, and its order is not queued yet.
    pub(super) asked: bool,
    /// An order waits or runs.
    pub(super) ordering: bool,
    /// Proxies may order.
    pub(super) has_ca: bool,
    /// Of the Traefiks that serve the name; it orders, and the rest is about nothing.
    pub(super) resolver: Option<String>,
}

/// Whole days until `end`; below zero after it.
pub fn days_left(end: DateTime<Utc>, now: DateTime<Utc>) -> i64 {
    (end - now).num_seconds().div_euclid(86_400)
}

impl Facts {
    /// Of a host name of which nothing else is known.
    fn nothing(host: &str, source: Source) -> Self {
        Self {
            host: host.to_owned(),
            source,
            issuer: None,
            not_before: None,
            not_after: None,
            staging: false,
            failures: 0,
            retry_at: None,
            renew_at: None,
            asked: false,
            ordering: false,
            has_ca: false,
            resolver: None,
        }
    }

    /// Of a host name that an imported certificate is served for.
    pub(super) fn imported(host: &str, imported: &ImportedCertificate, has_ca: bool) -> Self {
        Self {
            issuer: Some(imported.issuer.clone()),
            not_before: Some(imported.not_before),
            not_after: Some(imported.not_after),
            has_ca,
            ..Self::nothing(host, Source::Imported)
        }
    }

    /// Of a host name whose certificates a resolver of Traefik's orders.
    pub(super) fn of_resolver(host: &str, resolver: String) -> Self {
        Self { resolver: Some(resolver), ..Self::nothing(host, Source::Resolver) }
    }

    /// Somebody asked for a new one, and nothing is in the way of its order.
    pub(super) fn is_asked(&self, now: DateTime<Utc>) -> bool {
        self.asked && self.retry_at.is_none_or(|retry| retry <= now)
    }

    fn is_usable(&self, now: DateTime<Utc>) -> bool {
        self.not_after.is_some_and(|end| end > now)
    }

    pub(super) fn standing(&self, now: DateTime<Utc>) -> Standing {
        match self.not_after {
            _ if self.source == Source::Resolver => Standing::Elsewhere,
            Some(end) if end > now && days_left(end, now) < EXPIRING_DAYS => Standing::Expiring,
            Some(end) if end > now => Standing::Issued,
            Some(_) => Standing::Expired,
            None if self.ordering => Standing::Ordering,
            None if self.failures > 0 => Standing::Failed,
            None if self.has_ca => Standing::Waiting,
            None => Standing::None,
        }
    }

    pub(super) fn summary(&self, now: DateTime<Utc>) -> String {
        if let Some(resolver) = &self.resolver {
            return format!(
                "Ordered and renewed by the proxies' own resolver `{resolver}`: see Traefik's log."
            );
        }
        let failed = match self.failures {
            ..=0 => String::new(),
            1 => "the last order failed".to_owned(),
            many => format!("the last {many} orders failed"),
        };
        let Some(end) = self.not_after else {
            return match self.standing(now) {
                Standing::Ordering => "Being ordered.".to_owned(),
                Standing::Failed => format!("None yet: {failed}."),
                Standing::None => "None: no CA is configured, and none was imported.".to_owned(),
                _ => "Ordered as soon as a proxy is free.".to_owned(),
            };
        };
        let mut text = match days_left(end, now) {
            ..0 => format!("Ended on {}: browsers refuse the name", end.format("%Y-%m-%d")),
            0 => "Ends within a day".to_owned(),
            1 => "Valid for 1 more day".to_owned(),
            days => format!("Valid for {days} more days"),
        };
        if self.staging {
            text.push_str("; issued for tests, so browsers do not trust it");
        }
        if !failed.is_empty() {
            text = format!("{text}; {failed}");
        }
        text.push('.');
        text
    }

    pub(super) fn next(&self, now: DateTime<Utc>) -> Option<Next> {
        let next = |at, what: String| Some(Next { at, what });
        if self.source == Source::Imported {
            let after =
                if self.has_ca { ", unless a newer one is imported; proxies order one then" } else { "" };
            return next(self.not_after, format!("ends{after}"));
        }
        if self.ordering {
            return next(None, "a new one is being ordered".to_owned());
        }
        if !self.has_ca {
            return None;
        }
        if self.is_asked(now) {
            return next(None, "ordered anew as soon as a proxy is free: somebody asked for it".to_owned());
        }
        if self.asked {
            return next(self.retry_at, "ordered anew: somebody asked for it".to_owned());
        }
        if self.failures > 0
            && let Some(retry) = self.retry_at.filter(|retry| *retry > now)
        {
            return next(Some(retry), format!("ordered again, {} in a row failed", self.failures));
        }
        match (self.renew_at, self.not_before, self.not_after) {
            (Some(at), ..) => next(Some(at), "renewed, as the CA advises".to_owned()),
            (None, Some(from), Some(to)) if self.is_usable(now) => {
                let at = renew_at(&self.host, from, to);
                next(Some(at), "renewed: two thirds of its time are over by then".to_owned())
            }
            _ => next(None, "ordered as soon as a proxy is free".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-06-01T00:00:00Z".parse().expect("time")
    }

    fn nothing() -> Facts {
        Facts { has_ca: true, ..Facts::nothing("a.test", Source::Acme) }
    }

    fn ending(days: i64) -> Facts {
        let not_after = now() + TimeDelta::days(days);
        Facts { not_before: Some(not_after - TimeDelta::days(90)), not_after: Some(not_after), ..nothing() }
    }

    #[test]
    fn each_situation_has_its_word_and_its_sentence() {
        for (facts, standing, summary) in [
            (nothing(), Standing::Waiting, "Ordered as soon as a proxy is free."),
            (Facts { ordering: true, ..nothing() }, Standing::Ordering, "Being ordered."),
            (Facts { failures: 3, ..nothing() }, Standing::Failed, "None yet: the last 3 orders failed."),
            (
                Facts { has_ca: false, ..nothing() },
                Standing::None,
                "None: no CA is configured, and none was imported.",
            ),
            (ending(60), Standing::Issued, "Valid for 60 more days."),
            (ending(14), Standing::Issued, "Valid for 14 more days."),
            (
                Facts { failures: 1, ..ending(13) },
                Standing::Expiring,
                "Valid for 13 more days; the last order failed.",
            ),
            (
                Facts { staging: true, ..ending(60) },
                Standing::Issued,
                "Valid for 60 more days; issued for tests, so browsers do not trust it.",
            ),
            (ending(-2), Standing::Expired, "Ended on 2026-05-30: browsers refuse the name."),
        ] {
            assert_eq!((facts.standing(now()), facts.summary(now()).as_str()), (standing, summary));
        }
    }

    #[test]
    fn what_a_resolver_orders_is_not_ours_to_judge() {
        let facts = Facts::of_resolver("a.test", "le".to_owned());
        assert_eq!((facts.standing(now()), facts.next(now())), (Standing::Elsewhere, None));
        assert!(facts.summary(now()).contains("own resolver `le`"), "{}", facts.summary(now()));
    }

    #[test]
    fn what_comes_next_is_told_with_its_reason() {
        let at = |facts: &Facts| facts.next(now()).expect("next");
        let renewal = at(&ending(60));
        assert!(
            renewal.at.is_some_and(|at| at > now()) && renewal.what.contains("two thirds"),
            "{renewal:?}"
        );
        let advised = Facts { renew_at: Some(now()), ..ending(60) };
        assert_eq!(
            (at(&advised).at, at(&advised).what.as_str()),
            (Some(now()), "renewed, as the CA advises")
        );
        let retry = now() + TimeDelta::hours(2);
        let failing = Facts { failures: 4, retry_at: Some(retry), ..ending(20) };
        assert_eq!(at(&failing).at, Some(retry));
        let imported = Facts { source: Source::Imported, ..ending(20) };
        assert_eq!(at(&imported).at, imported.not_after);
        assert!(at(&imported).what.contains("import"), "{:?}", at(&imported));
        assert!(at(&Facts { asked: true, ..ending(60) }).what.contains("asked"));
        let failed = Facts { asked: true, failures: 1, retry_at: Some(retry), ..ending(60) };
        assert!(!failed.is_asked(now()) && failed.is_asked(retry), "{failed:?}");
        assert_eq!(at(&failed).at, Some(retry));
        assert_eq!(Facts { has_ca: false, ..nothing() }.next(now()), None);
    }
}
