//! What workers put right by themselves, as events.

use chrono::{DateTime, Utc};
use protocol::ids::InstanceId;
use protocol::report::{Corrected, Deed};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::store;
use crate::nodes::store::Known;
use crate::{audit, instances};

/// Something that a worker put right.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Correction {
    pub id: Uuid,
    /// By the clock of its host.
    pub at: DateTime<Utc>,
    /// Slug of the app; null for another organization's, and where it is not sure whose instance it was.
    pub app: Option<String>,
    /// The instance that the container was of, or said to be.
    pub instance: Option<InstanceId>,
    /// Podman's id of the container.
    pub container: Option<String>,
    /// What was done, in words.
    pub done: String,
    /// What was found.
    pub reason: String,
}

impl Correction {
    /// From the [`detail`] of its event, told at `told_at`.
    pub(super) fn of(id: Uuid, told_at: DateTime<Utc>, app: Option<String>, detail: &Value) -> Self {
        let text = |name: &str| detail[name].as_str().map(str::to_owned);
        let deed = serde_json::from_value(detail["deed"].clone()).ok();
        Self {
            id,
            at: serde_json::from_value(detail["at"].clone()).unwrap_or(told_at),
            app,
            instance: serde_json::from_value(detail["instance"].clone()).ok(),
            container: text("container"),
            done: words(deed).to_owned(),
            reason: text("reason").unwrap_or_default(),
        }
    }
}

/// Characters of a worker's words.
const WORDS: usize = 500;

/// Said again after a reconnect, it changes nothing. What is known to be of an app is told to those whose app it is; the
/// rest to those who look after nodes.
pub async fn take(conn: &mut PgConnection, node: &Known, told: &Corrected) -> sqlx::Result<()> {
    let origin = match told.instance_id {
        Some(instance) => instances::store::origin(conn, instance).await?,
        None => None,
    };
    let detail = detail(node, told);
    let actor = format!("node:{}", node.name);
    // A node speaks for what runs on it only.
    match origin.filter(|origin| origin.node == node.name) {
        Some(of) => {
            let target = format!("app:{}", of.app);
            if !store::is_told(conn, &target, &detail).await? {
                audit::record_of(conn, of.organization_id, &actor, "app.correct", &target, detail).await?;
            }
        }
        None => {
            if !store::is_told(conn, &actor, &detail).await? {
                audit::record_system(conn, &actor, "node.correct", &actor, detail).await?;
            }
        }
    }
    Ok(())
}

fn detail(node: &Known, told: &Corrected) -> Value {
    let cut = |text: &str| text.chars().take(WORDS).collect::<String>();
    json!({
        "node": node.name,
        "at": told.at,
        "deed": told.deed,
        "instance": told.instance_id,
        "container": told.container.as_deref().map(cut),
        "app": told.app.as_deref().map(cut),
        "reason": cut(&told.reason),
    })
}

/// What was done, in words.
pub fn words(deed: Option<Deed>) -> &'static str {
    match deed {
        Some(Deed::Recreated) => "made an instance again",
        Some(Deed::Adopted) => "took a container for an instance's",
        Some(Deed::Limited) => "set the limits of an instance again",
        Some(Deed::Ended) => "ended a second container of an instance",
        Some(Deed::Stopped) => "stopped a container that nobody knows",
        Some(Deed::Removed) => "removed a container that nobody knows",
        Some(Deed::Fenced) => "stopped an exclusive instance, because its lease was over",
        None => "put an instance right",
    }
}
