//! Looks at the DNS for a domain's record, and makes true what follows from it.

use chrono::Utc;
use serde_json::json;
use sqlx::PgConnection;
use tracing::info;

use super::judge::{self, Event, Finding};
use super::store::{self, Due, Held};
use super::{State, name};
use crate::app::App;
use crate::audit;
use crate::bus::{self, Topic};
use crate::dns::txt;
use crate::generations::{self, Consumer};

const TAKEN: &str = "another organization has shown by a newer record that the name is theirs";

/// Asks, and stores the answer. A domain that was removed meanwhile is left alone.
pub async fn look(app: &App, due: &Due) -> anyhow::Result<()> {
    let record = name::proof(&due.hostname);
    let resolvers = app.config.dns.addresses();
    let said = txt::ask(&resolvers, &record, |said| judge::proves(said, &due.token)).await;
    let finding = judge::finding(&record, &due.token, &said);
    let mut tx = app.db.begin().await?;
    store::lock(&mut tx, &due.hostname).await?;
    if let Some(held) = store::hold(&mut tx, due.id).await? {
        settle(&mut tx, &held, finding).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// The transaction holds the name's lock.
async fn settle(conn: &mut PgConnection, held: &Held, finding: Finding) -> anyhow::Result<()> {
    let finding = match finding {
        Finding::Proved(values) if held.standing.state != State::Verified => {
            replace(conn, held, values).await?
        }
        other => other,
    };
    let judged = judge::judge(held.standing, &finding, Utc::now());
    store::store(conn, held.id, &judged).await?;
    if let Some(event) = judged.event {
        tell(conn, held, event, judged.error.as_deref()).await?;
    }
    if judged.state != held.standing.state {
        lead(conn, &held.hostname).await?;
    }
    bus::say(conn, Topic::Domains, held.app_id).await?;
    Ok(())
}

/// Whoever had the name before loses it once their record is gone: as long as both are there, the name stays where it is.
async fn replace(conn: &mut PgConnection, held: &Held, values: Vec<String>) -> anyhow::Result<Finding> {
    let Some(former) = store::hold_verified(conn, &held.hostname).await? else {
        return Ok(Finding::Proved(values));
    };
    if values.iter().any(|value| judge::says(value, &former.token)) {
        let record = name::proof(&held.hostname);
        return Ok(Finding::Absent(format!(
            "{record} also has the record by which the name is in use already: remove all its other TXT records"
        )));
    }
    store::lapse(conn, former.id, TAKEN).await?;
    tell(conn, &former, Event::Lapsed, Some(TAKEN)).await?;
    bus::say(conn, Topic::Domains, former.app_id).await?;
    Ok(Finding::Proved(values))
}

/// The proxies are told at once, and a certificate is seen to.
pub(super) async fn lead(conn: &mut PgConnection, hostname: &str) -> sqlx::Result<()> {
    generations::raise(conn, Consumer::Routes).await?;
    bus::say(conn, Topic::Certificates, hostname).await
}

async fn tell(conn: &mut PgConnection, held: &Held, event: Event, why: Option<&str>) -> sqlx::Result<()> {
    let action = match event {
        Event::Verified => "domain.verify",
        Event::Missing => "domain.miss",
        Event::Returned => "domain.return",
        Event::Lapsed => "domain.lapse",
    };
    info!(domain = held.hostname, app = held.slug, action, why, "domain changed");
    let detail = json!({ "domain": held.hostname, "why": why });
    audit::record_of(conn, held.organization_id, "system", action, &format!("app:{}", held.slug), detail)
        .await
}

/// Forgets pending domains whose time is over.
pub async fn expire(app: &App) -> anyhow::Result<()> {
    let mut tx = app.db.begin().await?;
    for expired in store::expire(&mut tx).await? {
        let target = format!("app:{}", expired.slug);
        let detail = json!({ "domain": expired.hostname });
        audit::record_of(&mut tx, expired.organization_id, "system", "domain.expire", &target, detail)
            .await?;
        bus::say(&mut tx, Topic::Domains, expired.app_id).await?;
    }
    tx.commit().await?;
    Ok(())
}
