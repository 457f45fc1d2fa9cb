//! Instances that are to be on another node: one at a time is replaced by a new one, as a restart of it would.

use chrono::{DateTime, Utc};
use protocol::ids::{DeploymentId, InstanceId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::store::moves::Open;
use super::store::{self, Sought};
use crate::app::App;
use crate::apps::{self, Settings};
use crate::bus::{self, Topic};
use crate::deployments::{self, Kind};
use crate::plan::placement::{Wish, choose, in_words};
use crate::{audit, images, releases};

/// Why an instance is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[sqlx(type_name = "text", rename_all = "kebab-case")]
#[schema(as = MoveCause)]
pub enum Cause {
    /// Its node is to be empty.
    Drain,
    /// It is better off elsewhere.
    Rebalance,
    /// Its node is gone.
    Lost,
}

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[sqlx(type_name = "text", rename_all = "kebab-case")]
pub enum MoveState {
    Waiting,
    /// A deployment carries it out.
    Moving,
    Done,
    Failed,
    Cancelled,
}

/// One instance that goes to another node.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Move)]
pub struct MoveView {
    pub id: Uuid,
    /// The one that goes; another takes its place.
    pub instance: InstanceId,
    /// Slug of its app.
    pub app: String,
    /// Name of the node that it leaves.
    pub from: String,
    /// Name of the node that it goes to; null before that is known.
    pub to: Option<String>,
    pub cause: Cause,
    pub reason: String,
    pub state: MoveState,
    /// Number of the app's deployment that carries it out.
    pub deployment: Option<i32>,
    /// Why it waits or has failed.
    pub problem: Option<String>,
    pub changed_at: DateTime<Utc>,
}

/// What came of an attempt to begin a move.
#[derive(Debug)]
pub enum Begun {
    /// The deployment that carries it out.
    Under(DeploymentId),
    /// It waits for that.
    Blocked(String),
    /// The node that it was to go to does not take it any more.
    Refused(String),
    /// There is nothing to move any more.
    Over,
    /// It was called off, or is about to be: its node is back.
    CalledOff,
}

/// Begins a move if its app has nothing else under way and somewhere is room. Nothing is started in vain: a move that
/// cannot end well now waits.
pub async fn begin(app: &App, conn: &mut PgConnection, wanted: &Open) -> anyhow::Result<Begun> {
    // Deployments of the app take turns at its row.
    let Some(of) = apps::store::lock(conn, wanted.app).await? else { return Ok(Begun::Over) };
    if !store::moves::serves(conn, wanted.instance).await? {
        return Ok(Begun::Over);
    }
    if !store::moves::is_due(conn, wanted.id).await? {
        return Ok(Begun::CalledOff);
    }
    if let Some(number) = deployments::store::unfinished(conn, of.id).await? {
        return Ok(Begun::Blocked(format!("deployment {number} of {} goes first", of.slug)));
    }
    let Some(live) = releases::store::current(conn, of.id).await? else {
        return Ok(Begun::Blocked(format!("{} has no release that is live", of.slug)));
    };
    let settings = Settings { placement: of.settings.placement.clone(), ..live.settings.0.clone() };
    let sought = Sought {
        deployment: DeploymentId::new(),
        staying: Some(live.id),
        replaced: Some(wanted.instance),
        image: &live.image_id,
    };
    let policy = &app.config.placement;
    let candidates = store::candidates(conn, policy, &sought).await?;
    let held = candidates.iter().any(|candidate| candidate.online && candidate.has_image);
    let mut wish = Wish::of(&settings.placement, &settings.resources, policy.strategy);
    if let Some(to) = wanted.to {
        let target = candidates.iter().find(|candidate| candidate.node == to);
        let Some(target) = target else {
            return Ok(Begun::Refused("the node that it was to go to was removed".to_owned()));
        };
        wish.pin = Some(target.name.clone());
    }
    let choice = choose(&wish, candidates, 1);
    if choice.places.is_empty() {
        let why = in_words(&choice.refusals);
        return Ok(match &wish.pin {
            Some(target) if wanted.to.is_some() => Begun::Refused(format!("{target} cannot take it ({why})")),
            _ => Begun::Blocked(format!("no worker can take it ({why})")),
        });
    }
    // To fetch it would fail, after the end of what serves where the app is exclusive.
    if !held && !images::store::is_elsewhere(conn, of.id, &live.image_id).await? {
        let why = "no worker that is online and no registry has the image of release";
        return Ok(Begun::Blocked(format!("{why} {}", live.number)));
    }
    let id = replace(conn, &of, &live, &settings, wanted).await?;
    Ok(Begun::Under(id))
}

async fn replace(
    conn: &mut PgConnection,
    of: &apps::store::App,
    live: &releases::store::Snapshot,
    settings: &Settings,
    wanted: &Open,
) -> anyhow::Result<DeploymentId> {
    let new = deployments::store::New {
        id: DeploymentId::new(),
        app_id: of.id,
        kind: Kind::Restart,
        source: None,
        settings,
        variables: &live.variables,
        build_variables: None,
        release_id: Some(live.id),
        replaces: Some(wanted.instance),
        message: &format!("one instance, away from {}: {}", wanted.from, wanted.reason),
        created_by: "system",
    };
    let number = deployments::store::insert(conn, &new).await?;
    store::moves::set_target(conn, new.id, wanted.to).await?;
    let detail = json!({
        "app": of.slug, "number": number, "kind": new.kind, "message": new.message, "release": live.number,
        "from": live.number, "instance": wanted.instance,
    });
    let organization = apps::store::organization(conn, of.id).await?;
    let target = format!("deployment:{}", new.id);
    audit::record_of(conn, organization, "system", "deployment.create", &target, detail).await?;
    bus::say(conn, Topic::Deployments, new.id).await?;
    Ok(new.id)
}
