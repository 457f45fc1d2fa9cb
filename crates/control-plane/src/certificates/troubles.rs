//! What is off with certificates: one ends soon, orders fail for long, browsers do not trust what is served.

use chrono::{DateTime, TimeDelta, Utc};
use protocol::ids::OrganizationId;
use sqlx::PgConnection;

use super::shown::days_left;
use crate::notices::{Severity, Trouble};

/// A certificate that is in use.
#[derive(Debug, Clone)]
struct Used {
    /// Absent for the dashboard's.
    organization: Option<OrganizationId>,
    /// What it is called: its host, or the first name of an imported one.
    name: String,
    imported: bool,
    not_before: Option<DateTime<Utc>>,
    not_after: Option<DateTime<Utc>>,
    staging: bool,
    /// The first of the orders that have failed since the last that succeeded.
    failing_since: Option<DateTime<Utc>>,
    error: Option<String>,
}

/// A certificate that lasts shorter is told of later: when less than this share of its life is left, in percent. Renewal
/// is at a third.
const LEFT_SHARE: i32 = 28;
/// So long may orders fail before somebody is told.
const PATIENCE: TimeDelta = TimeDelta::days(1);

/// What is off with the certificates of all organizations.
pub async fn find(conn: &mut PgConnection) -> sqlx::Result<Vec<Trouble>> {
    let (now, used) = (Utc::now(), used(conn).await?);
    Ok(used
        .iter()
        .flat_map(|used| [ends(used, now), fails(used, now), staging(used, now)])
        .flatten()
        .collect())
}

fn trouble(
    used: &Used,
    kind: &'static str,
    stage: &'static str,
    severity: Severity,
    text: String,
) -> Trouble {
    Trouble {
        organization: used.organization,
        kind,
        subject: format!("certificate:{}", used.name),
        stage,
        severity,
        text,
        hint: None,
    }
}

fn ends(used: &Used, now: DateTime<Utc>) -> Option<Trouble> {
    let (from, end) = used.not_before.zip(used.not_after)?;
    let (stage, severity) = match days_left(end, now) {
        ..0 => ("ended", Severity::Critical),
        0..3 => ("3-days", Severity::Critical),
        3..7 => ("7-days", Severity::Warning),
        7..14 => ("14-days", Severity::Warning),
        _ => return None,
    };
    if (end - now) * 100 >= (end - from) * LEFT_SHARE {
        return None;
    }
    let (name, date) = (&used.name, end.format("%Y-%m-%d"));
    let text = match stage {
        "ended" => format!("The certificate for {name} ended on {date}."),
        _ => format!("The certificate for {name} ends on {date}, in less than {}.", stage.replace('-', " ")),
    };
    let hint = match (&used.error, used.imported) {
        (_, true) if stage == "ended" => format!(
            "Proxies order one for its host names. Import a newer one with `wh cert import`, or remove this one with `wh cert remove {name}`."
        ),
        (_, true) => "Import a newer one with `wh cert import`; after its end proxies order one.".to_owned(),
        (Some(error), false) => format!("Orders fail: {error}"),
        (None, false) => format!("`wh cert show {name}` tells why it is not renewed."),
    };
    Some(Trouble { hint: Some(hint), ..trouble(used, "certificate-ends", stage, severity, text) })
}

fn fails(used: &Used, now: DateTime<Utc>) -> Option<Trouble> {
    let since = used.failing_since.filter(|since| now - *since >= PATIENCE)?;
    let is_served = used.not_after.is_some_and(|end| end > now);
    let (stage, severity) =
        if is_served { ("not-renewed", Severity::Warning) } else { ("none", Severity::Critical) };
    let day = since.format("%Y-%m-%d");
    let text = format!("Orders of a certificate for {} have been failing since {day}.", used.name);
    let hint = used.error.clone().unwrap_or_else(|| format!("`wh cert show {}` tells why.", used.name));
    Some(Trouble { hint: Some(hint), ..trouble(used, "certificate-fails", stage, severity, text) })
}

fn staging(used: &Used, now: DateTime<Utc>) -> Option<Trouble> {
    if !used.staging || used.not_after.is_none_or(|end| end <= now) {
        return None;
    }
    let text = format!("{} is served with a certificate for tests, which browsers do not trust.", used.name);
    let hint = format!(
        "Set `acme.directory` to the CA's real directory when the tests are over, and order anew: `wh cert reissue {}`.",
        used.name
    );
    Some(Trouble {
        hint: Some(hint),
        ..trouble(used, "certificate-staging", "served", Severity::Warning, text)
    })
}

/// The certificates of host names that are served, one for each organization that uses it, and the imported ones.
async fn used(conn: &mut PgConnection) -> sqlx::Result<Vec<Used>> {
    sqlx::query_as!(
        Used,
        r#"with named as (
               select distinct on (name) name, certificates.host
               from certificates, unnest(names || certificates.host) as name
               order by name, name = certificates.host desc
           ),
           served as (
               select organization_id, owned_hosts.host
               from owned_hosts join served_hosts on served_hosts.host = owned_hosts.host
               where owned_hosts.host not in (select host from resolver_hosts)
               union all
               select null, host from fronts
           ),
           used as (
               select distinct served.organization_id, coalesce(own.host, wild.host) as host
               from served
               left join named as own on own.name = served.host
               left join named as wild
                    on own.name is null and wild.name = '*.' || substr(served.host, strpos(served.host, '.') + 1)
           )
           select used.organization_id as "organization: OrganizationId", certificates.host as "name!", false as "imported!",
                  not_before, not_after, staging as "staging!",
                  case when failures > 0 then (
                      select min(at) from certificate_attempts as attempt
                      where attempt.host = certificates.host and outcome = 'failed'
                        and at > coalesce((select max(at) from certificate_attempts as good
                                           where good.host = certificates.host and outcome = 'issued'), '-infinity')
                  ) end as failing_since,
                  case when failures > 0 then error end as error
           from used join certificates on certificates.host = used.host
           where source = 'acme'
           union all
           select organization_id, names[1], true, not_before, not_after, false, null, null from imported_certificates"#
    )
    .fetch_all(conn)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-06-01T00:00:00Z".parse().expect("time")
    }

    fn lasting(days: i64, left: i64) -> Used {
        let not_after = now() + TimeDelta::days(left) + TimeDelta::hours(1);
        Used {
            organization: None,
            name: "a.test".to_owned(),
            imported: false,
            not_before: Some(not_after - TimeDelta::days(days)),
            not_after: Some(not_after),
            staging: false,
            failing_since: None,
            error: None,
        }
    }

    #[test]
    fn its_end_is_told_at_fourteen_seven_and_three_days_and_when_it_is_there() {
        let stage = |left| ends(&lasting(90, left), now()).map(|trouble| (trouble.stage, trouble.severity));
        assert_eq!(stage(14), None);
        assert_eq!(stage(13), Some(("14-days", Severity::Warning)));
        assert_eq!((stage(7), stage(6)), (stage(13), Some(("7-days", Severity::Warning))));
        assert_eq!((stage(3), stage(2)), (stage(6), Some(("3-days", Severity::Critical))));
        assert_eq!(stage(-1), Some(("ended", Severity::Critical)));
    }

    #[test]
    fn one_that_lasts_for_days_is_told_of_when_its_renewal_is_late() {
        assert_eq!(ends(&lasting(6, 4), now()), None);
        assert_eq!(ends(&lasting(6, 2), now()), None, "renewed at a third, which is now");
        assert!(ends(&lasting(6, 1), now()).is_some());
        assert_eq!(ends(&lasting(30, 9), now()), None);
    }

    #[test]
    fn the_remedy_is_that_of_where_it_comes_from() {
        let hint = |used: &Used| ends(used, now()).and_then(|trouble| trouble.hint).expect("hint");
        assert!(hint(&Used { imported: true, ..lasting(365, 5) }).contains("wh cert import"));
        assert!(hint(&Used { imported: true, ..lasting(365, -5) }).contains("wh cert remove a.test"));
        let failing = Used { error: Some("Open port 80.".to_owned()), ..lasting(90, 5) };
        assert_eq!(hint(&failing), "Orders fail: Open port 80.");
        assert!(hint(&lasting(90, 5)).contains("wh cert show a.test"));
    }

    #[test]
    fn orders_that_fail_for_a_day_are_told_and_are_worse_without_a_certificate() {
        let failing = |hours, used| Used { failing_since: Some(now() - TimeDelta::hours(hours)), ..used };
        assert_eq!(fails(&failing(23, lasting(90, 20)), now()), None);
        let late = fails(&failing(25, lasting(90, 20)), now()).expect("told");
        assert_eq!((late.stage, late.severity), ("not-renewed", Severity::Warning));
        let without = Used { not_before: None, not_after: None, ..lasting(90, 0) };
        assert_eq!(fails(&failing(25, without), now()).expect("told").severity, Severity::Critical);
    }

    #[test]
    fn a_certificate_for_tests_is_told_while_it_is_served() {
        assert!(staging(&Used { staging: true, ..lasting(90, 80) }, now()).is_some());
        assert_eq!(staging(&Used { staging: true, ..lasting(90, -1) }, now()), None);
        assert_eq!(staging(&lasting(90, 80), now()), None);
    }
}
