//! What becomes of a domain after a look at the DNS. Nothing here asks anybody.

use std::net::SocketAddr;

use chrono::{DateTime, TimeDelta, Utc};

use super::State;
use crate::dns::txt::Said;

/// For so long a verified domain is served without its record.
pub const MISSING: TimeDelta = TimeDelta::days(7);
/// For so long a pending one is asked for.
pub const PENDING: TimeDelta = TimeDelta::days(7);
/// Values of others that are shown.
const SHOWN: usize = 3;

/// What a look at the DNS came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The record is there, among these values.
    Proved(Vec<String>),
    /// The DNS says that it is not.
    Absent(String),
    /// Nobody knows: no resolver could say.
    Unsure(String),
}

/// Where a domain stood before.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    pub state: State,
    pub created_at: DateTime<Utc>,
    pub verified_at: Option<DateTime<Utc>>,
    pub missing_since: Option<DateTime<Utc>>,
}

/// Where it stands from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    pub state: State,
    pub verified_at: Option<DateTime<Utc>>,
    pub missing_since: Option<DateTime<Utc>>,
    pub error: Option<String>,
    pub next_check_at: DateTime<Utc>,
    /// What is worth telling.
    pub event: Option<Event>,
}

/// A turn in the life of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Verified,
    Missing,
    Returned,
    Lapsed,
}

/// Whether the record with `token` is among the values. Some panels keep the quotes that people paste.
pub fn proves(said: &Said, token: &str) -> bool {
    matches!(said, Said::Values(values) if values.iter().any(|value| says(value, token)))
}

/// Whether a value is the token.
pub fn says(value: &str, token: &str) -> bool {
    value.trim().trim_matches('"').eq_ignore_ascii_case(token)
}

/// Takes what the resolvers said about the record `name` together. One that knows wins over those that do not.
pub fn finding(name: &str, token: &str, said: &[(SocketAddr, Said)]) -> Finding {
    let values: Vec<&Vec<String>> = said
        .iter()
        .filter_map(|(_, said)| if let Said::Values(values) = said { Some(values) } else { None })
        .collect();
    if let Some(proof) = values.iter().find(|values| values.iter().any(|value| says(value, token))) {
        return Finding::Proved((*proof).clone());
    }
    if let Some(others) = values.first() {
        return Finding::Absent(format!(
            "{name} has {}, and none of its TXT records is the one asked for",
            shown(others)
        ));
    }
    if said.iter().any(|(_, said)| *said == Said::NoRecord) {
        return Finding::Absent(format!("{name} has no TXT record yet"));
    }
    if said.iter().any(|(_, said)| *said == Said::NoName) {
        return Finding::Absent(format!("there is no name {name} in the DNS yet (NXDOMAIN)"));
    }
    let failure = said.iter().find_map(|(address, said)| match said {
        Said::Failure(why) => Some(format!("the resolver {} says {why}", address.ip())),
        _ => None,
    });
    Finding::Unsure(failure.unwrap_or_else(|| {
        let asked: Vec<String> = said.iter().map(|(address, _)| address.to_string()).collect();
        format!("no resolver answered in time; asked were {}", asked.join(", "))
    }))
}

/// Texts of strangers, short and on one line.
fn shown(values: &[String]) -> String {
    let quoted = values.iter().take(SHOWN).map(|value| {
        let short: String = value.chars().take(70).collect();
        let rest = if short.len() < value.len() { "…" } else { "" };
        format!("\"{}{rest}\"", short.escape_default())
    });
    let quoted: Vec<String> = quoted.collect();
    let more = values.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", quoted.join(", "))
}

/// What becomes of the domain.
pub fn judge(was: Standing, finding: &Finding, now: DateTime<Utc>) -> Judged {
    let stay = Judged {
        state: was.state,
        verified_at: was.verified_at,
        missing_since: was.missing_since,
        error: None,
        next_check_at: now + pause(was.state, was.missing_since.is_some(), now - was.created_at),
        event: None,
    };
    match (finding, was.state) {
        (Finding::Proved(_), State::Verified) => Judged {
            missing_since: None,
            next_check_at: now + pause(State::Verified, false, TimeDelta::zero()),
            event: was.missing_since.map(|_| Event::Returned),
            ..stay
        },
        (Finding::Proved(_), State::Pending | State::Lapsed) => Judged {
            state: State::Verified,
            verified_at: Some(now),
            missing_since: None,
            next_check_at: now + pause(State::Verified, false, TimeDelta::zero()),
            event: Some(Event::Verified),
            ..stay
        },
        (Finding::Absent(why), State::Verified) => absent(stay, why, now),
        (Finding::Absent(why) | Finding::Unsure(why), _) => Judged { error: Some(why.clone()), ..stay },
    }
}

fn absent(stay: Judged, why: &str, now: DateTime<Utc>) -> Judged {
    let since = stay.missing_since.unwrap_or(now);
    if now - since >= MISSING {
        return Judged {
            state: State::Lapsed,
            missing_since: None,
            error: Some(format!("not served any more, because for 7 days {why}")),
            next_check_at: now + pause(State::Lapsed, false, TimeDelta::zero()),
            event: Some(Event::Lapsed),
            ..stay
        };
    }
    let first = stay.missing_since.is_none();
    Judged {
        missing_since: Some(since),
        error: Some(why.to_owned()),
        next_check_at: now + pause(State::Verified, true, TimeDelta::zero()),
        event: first.then_some(Event::Missing),
        ..stay
    }
}

/// Until the next look: people who have just added a name wait for it, those who did days ago do not.
fn pause(state: State, missing: bool, age: TimeDelta) -> TimeDelta {
    match state {
        State::Pending => (age / 4).clamp(TimeDelta::seconds(15), TimeDelta::hours(1)),
        State::Verified if missing => TimeDelta::hours(1),
        State::Verified | State::Lapsed => TimeDelta::days(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "6e0c";
    const NAME: &str = "_wisehosting.www.example.com";

    fn said(answers: Vec<Said>) -> Finding {
        let from = |(index, said)| (SocketAddr::from(([9, 9, 9, index], 53)), said);
        let answers: Vec<_> = (1..).zip(answers).map(from).collect();
        finding(NAME, TOKEN, &answers)
    }

    fn values(texts: &[&str]) -> Said {
        Said::Values(texts.iter().map(ToString::to_string).collect())
    }

    fn why(finding: &Finding) -> &str {
        match finding {
            Finding::Proved(_) => "",
            Finding::Absent(why) | Finding::Unsure(why) => why,
        }
    }

    #[test]
    fn one_resolver_that_shows_the_record_is_enough() {
        for answers in [
            vec![values(&["6e0c"])],
            vec![Said::NoName, Said::Silence, values(&["v=spf1 -all", " \"6E0C\" "])],
            vec![values(&["old"]), values(&["old", "6e0c"])],
        ] {
            assert!(matches!(said(answers.clone()), Finding::Proved(_)), "{answers:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_the_one_who_knows_most() {
        let broken = Said::Failure("SERVFAIL".to_owned());
        for (answers, absent, words) in [
            (vec![Said::NoName, values(&["6e0d"])], true, "\"6e0d\""),
            (vec![values(&["a\u{1b}[31m"])], true, "\\u{1b}"),
            (vec![values(&["a", "b", "c", "d", "e"])], true, "and 2 more"),
            (vec![Said::Silence, Said::NoName], true, "NXDOMAIN"),
            (vec![Said::NoRecord, Said::NoName], true, "no TXT record"),
            (vec![Said::Silence, broken], false, "9.9.9.2 says SERVFAIL"),
            (vec![Said::Silence, Said::Silence], false, "9.9.9.1:53, 9.9.9.2:53"),
        ] {
            let found = said(answers);
            assert!(why(&found).contains(words), "{found:?}");
            assert_eq!(matches!(found, Finding::Absent(_)), absent, "{found:?}");
        }
        let long = said(vec![values(&["x".repeat(5000).as_str()])]);
        assert!(why(&long).len() < 250, "{long:?}");
    }

    fn at(day: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + day * 86_400, 0).expect("a time")
    }

    fn standing(state: State, missing: Option<i64>) -> Standing {
        let verified_at = (state != State::Pending).then(|| at(0));
        Standing { state, created_at: at(0), verified_at, missing_since: missing.map(at) }
    }

    #[test]
    fn the_life_of_a_domain() {
        use State::{Lapsed, Pending, Verified};
        let proved = Finding::Proved(vec![TOKEN.to_owned()]);
        let (absent, unsure) = (Finding::Absent("gone".to_owned()), Finding::Unsure("silence".to_owned()));
        for (was, found, day, state, missing, event) in [
            (standing(Pending, None), &proved, 1, Verified, None, Some(Event::Verified)),
            (standing(Pending, None), &absent, 1, Pending, None, None),
            (standing(Pending, None), &unsure, 1, Pending, None, None),
            (standing(Verified, None), &proved, 1, Verified, None, None),
            (standing(Verified, None), &absent, 1, Verified, Some(1), Some(Event::Missing)),
            (standing(Verified, Some(1)), &absent, 7, Verified, Some(1), None),
            (standing(Verified, Some(1)), &absent, 8, Lapsed, None, Some(Event::Lapsed)),
            (standing(Verified, Some(1)), &proved, 7, Verified, None, Some(Event::Returned)),
            // Resolvers that are down prove nothing, however long they are.
            (standing(Verified, None), &unsure, 1, Verified, None, None),
            (standing(Verified, Some(1)), &unsure, 30, Verified, Some(1), None),
            (standing(Lapsed, None), &absent, 9, Lapsed, None, None),
            (standing(Lapsed, None), &proved, 9, Verified, None, Some(Event::Verified)),
        ] {
            let judged = judge(was, found, at(day));
            assert_eq!((judged.state, judged.missing_since, judged.event), (state, missing.map(at), event));
            assert_eq!(judged.error.is_none(), matches!(found, Finding::Proved(_)), "{judged:?}");
            assert!(judged.next_check_at > at(day), "{judged:?}");
        }
    }

    #[test]
    fn pauses_grow_with_the_age_of_what_is_waited_for() {
        let pause = |age: TimeDelta| pause(State::Pending, false, age).num_seconds();
        let pauses = [0, 60, 600, 3600, 86_400].map(|age| pause(TimeDelta::seconds(age)));
        assert_eq!(pauses, [15, 15, 150, 900, 3600]);
    }
}
