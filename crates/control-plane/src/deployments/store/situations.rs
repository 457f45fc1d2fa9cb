//! SQL of what the planner of roll-outs looks at: of all that are under way at once, or of one that is held.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use protocol::ids::{AppId, DeploymentId, InstanceId, ReleaseId};
use protocol::report::InstanceReport;
use protocol::spec::Generation;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::Kind;
use super::tasks::{self, Preparation};
use crate::apps::Settings;
use crate::nodes::store::proxies;
use crate::placement::config::Placement as Policy;
use crate::placement::{self, store::Sought};
use crate::plan::placement::{Candidate, Wish};
use crate::plan::rollout::{Kept, New, Renewal, Situation, Step};

/// Seconds for which a node may be missing before its instances are placed elsewhere.
pub(super) const GONE_S: f64 = 60.0;

/// A deployment that is rolling out.
#[derive(Debug)]
pub struct Rolling {
    pub id: DeploymentId,
    pub app_id: AppId,
    pub kind: Kind,
    pub release_id: ReleaseId,
    pub image_id: String,
    pub settings: Json<Settings>,
    /// The only instance of its release that it replaces.
    pub replaces: Option<InstanceId>,
    /// Name of the only node that its instances may be on.
    pub target: Option<String>,
    pub switch_generation: Option<Generation>,
    /// How far the command before it is; absent when it has not begun.
    pub preparation: Option<Preparation>,
    /// What it was said to wait for.
    pub waiting_for: Option<String>,
    /// Since its last step.
    pub idle_s: f64,
}

impl Rolling {
    fn renewal(&self) -> Renewal {
        match self.replaces {
            Some(id) => Renewal::One(id),
            None if self.kind.keeps_instances() => Renewal::Nothing,
            None => Renewal::All,
        }
    }

    /// What is asked of a worker.
    pub fn wish(&self, policy: &Policy) -> Wish {
        let settings = &self.settings;
        let wish = Wish::of(&settings.placement, &settings.resources, policy.strategy);
        Wish { pin: self.target.clone().or(wish.pin), ..wish }
    }

    /// Whether `steps` lead to nothing but the waiting that is known already.
    pub fn waits(&self, steps: &[Step]) -> bool {
        match steps {
            [] => self.waiting_for.is_none(),
            [Step::Wait(what)] => self.waiting_for.as_ref() == Some(what),
            _ => false,
        }
    }

    fn sought(&self) -> Sought<'_> {
        Sought {
            deployment: self.id,
            staying: (self.renewal() != Renewal::All).then_some(self.release_id),
            replaced: self.replaces,
            image: &self.image_id,
        }
    }
}

/// All deployments that are rolling out.
pub async fn ids(conn: &mut PgConnection) -> sqlx::Result<Vec<DeploymentId>> {
    sqlx::query_scalar!("select id from deployments where state = 'rolling-out' order by id")
        .fetch_all(conn)
        .await
}

/// All deployments that are rolling out, none of them held.
pub async fn rolling(conn: &mut PgConnection) -> sqlx::Result<Vec<Rolling>> {
    let ids: Vec<Uuid> = ids(conn).await?.into_iter().map(|id| id.0).collect();
    read(conn, &ids).await
}

/// The deployment, if it is still rolling out, held until the transaction ends.
pub async fn lock(conn: &mut PgConnection, id: DeploymentId) -> sqlx::Result<Option<Rolling>> {
    sqlx::query!("select id from deployments where id = $1 for update", id as _)
        .fetch_optional(&mut *conn)
        .await?;
    Ok(read(conn, &[id.0]).await?.pop())
}

/// Those of `ids` that are rolling out.
async fn read(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Rolling>> {
    sqlx::query_as!(
        Rolling,
        r#"select deployments.id, deployments.app_id, deployments.kind, releases.id as release_id, image_id,
                  deployments.settings as "settings: Json<Settings>", replaces, switch_generation,
                  (select name from nodes where nodes.id = target_node_id) as target,
                  preparation as "preparation: Preparation", waiting_for,
                  coalesce(extract(epoch from now() - stepped_at), 0)::float8 as "idle_s!"
           from deployments join releases on releases.id = release_id
           where deployments.id = any($1) and deployments.state = 'rolling-out' order by deployments.id"#,
        ids
    )
    .fetch_all(conn)
    .await
}

/// The workers that may take its instances. Who places some holds [`placement::store::lock`].
pub async fn workers(
    conn: &mut PgConnection,
    rolling: &Rolling,
    policy: &Policy,
) -> sqlx::Result<Vec<Candidate>> {
    placement::store::candidates(conn, policy, &rolling.sought()).await
}

/// What the planner decides on for one, without [`workers`].
pub async fn situation(
    conn: &mut PgConnection,
    rolling: &Rolling,
    policy: &Policy,
) -> sqlx::Result<Situation> {
    let mut found = Found::of(conn, std::slice::from_ref(rolling)).await?;
    found.situation(conn, rolling, policy).await
}

/// What it decides on for each, without [`workers`]: as many statements for thousands as for one, but for
/// those whose command runs.
pub async fn situations(
    conn: &mut PgConnection,
    rolling: Vec<Rolling>,
    policy: &Policy,
) -> sqlx::Result<Vec<(Rolling, Situation)>> {
    let mut found = Found::of(conn, &rolling).await?;
    let mut situations = Vec::with_capacity(rolling.len());
    for one in rolling {
        let situation = found.situation(conn, &one, policy).await?;
        situations.push((one, situation));
    }
    Ok(situations)
}

/// What was read for several.
struct Found {
    new: HashMap<DeploymentId, Vec<New>>,
    serving: HashMap<AppId, Vec<Serving>>,
    probing: HashSet<DeploymentId>,
    exclusive: HashSet<AppId>,
    back: HashMap<AppId, usize>,
    lost: HashMap<DeploymentId, Vec<String>>,
    /// Of each connected proxy and worker's ingress, its name and what it has in force.
    proxies: Vec<(String, Generation)>,
}

/// An instance in rotation.
struct Serving {
    deployment: DeploymentId,
    release: ReleaseId,
    kept: Kept,
}

impl Found {
    async fn of(conn: &mut PgConnection, rolling: &[Rolling]) -> sqlx::Result<Self> {
        let ids: Vec<Uuid> = rolling.iter().map(|one| one.id.0).collect();
        let apps: Vec<Uuid> = rolling.iter().map(|one| one.app_id.0).collect();
        let switched = rolling.iter().any(|one| one.switch_generation.is_some());
        Ok(Self {
            new: new_instances(conn, &ids).await?,
            serving: serving(conn, &apps).await?,
            probing: probing(conn, &ids).await?,
            exclusive: serving_exclusively(conn, &apps).await?,
            back: back(conn, &apps).await?,
            lost: lost(conn, &ids).await?,
            proxies: if switched { proxies(conn).await? } else { Vec::new() },
        })
    }

    async fn situation(
        &mut self,
        conn: &mut PgConnection,
        rolling: &Rolling,
        policy: &Policy,
    ) -> sqlx::Result<Situation> {
        let settings = &rolling.settings;
        let renewal = rolling.renewal();
        let serving = self.serving.remove(&rolling.app_id).unwrap_or_default();
        let (kept, old): (Vec<_>, Vec<_>) = serving
            .into_iter()
            .filter(|one| one.deployment != rolling.id)
            .partition(|one| one.release == rolling.release_id && renewal.keeps(one.kept.id));
        let behind = rolling.switch_generation.map(|generation| {
            self.proxies
                .iter()
                .filter(move |(_, applied)| *applied < generation)
                .map(|(name, _)| name.clone())
        });
        Ok(Situation {
            replicas: usize::from(settings.replicas),
            strategy: settings.deploy.strategy,
            exclusive: settings.exclusive || self.exclusive.contains(&rolling.app_id),
            endings: Vec::new(),
            prepare: tasks::prepare(conn, rolling).await?,
            new: self.new.remove(&rolling.id).unwrap_or_default(),
            kept: kept.into_iter().map(|one| one.kept).collect(),
            old: old.into_iter().map(|one| one.kept.id).collect(),
            back: self.back.get(&rolling.app_id).copied().unwrap_or_default(),
            workers: None,
            wish: rolling.wish(policy),
            lost: self.lost.remove(&rolling.id).unwrap_or_default(),
            probing: self.probing.contains(&rolling.id),
            switched: rolling.switch_generation.is_some(),
            proxies_behind: behind.into_iter().flatten().collect(),
            idle: Duration::try_from_secs_f64(rolling.idle_s).unwrap_or_default(),
            start_within: Duration::from_secs(settings.probe.start_within_s.into()),
        })
    }
}

async fn new_instances(
    conn: &mut PgConnection,
    ids: &[Uuid],
) -> sqlx::Result<HashMap<DeploymentId, Vec<New>>> {
    let rows = sqlx::query!(
        r#"select deployment_id as "deployment: DeploymentId", instances.id, nodes.name, instances.state, in_rotation,
                  report as "report: Json<InstanceReport>",
                  coalesce(missing_since < now() - make_interval(secs => $2), false) as "gone!"
           from instances join nodes on nodes.id = instances.node_id
           where deployment_id = any($1) and wanted and task is null order by instances.id"#,
        ids,
        GONE_S
    )
    .fetch_all(conn)
    .await?;
    let mut found: HashMap<_, Vec<New>> = HashMap::new();
    for row in rows {
        found.entry(row.deployment).or_default().push(New {
            id: row.id,
            node: row.name,
            node_gone: row.gone,
            in_rotation: row.in_rotation,
            state: row.state,
            failure: row.report.and_then(|report| report.0.failure),
        });
    }
    Ok(found)
}

async fn serving(conn: &mut PgConnection, apps: &[Uuid]) -> sqlx::Result<HashMap<AppId, Vec<Serving>>> {
    let rows = sqlx::query!(
        r#"select app_id as "app: AppId", deployment_id as "deployment: DeploymentId",
                  release_id as "release: ReleaseId", instances.id, nodes.name,
                  instances.state = 'healthy'
                  and not coalesce(missing_since < now() - make_interval(secs => $2), false) as "healthy!"
           from instances join nodes on nodes.id = instances.node_id
           where app_id = any($1) and in_rotation order by instances.id"#,
        apps,
        GONE_S
    )
    .fetch_all(conn)
    .await?;
    let mut found: HashMap<_, Vec<Serving>> = HashMap::new();
    for row in rows {
        let kept = Kept { id: row.id, node: row.name, healthy: row.healthy };
        let serving = Serving { deployment: row.deployment, release: row.release, kept };
        found.entry(row.app).or_default().push(serving);
    }
    Ok(found)
}

/// Those whose probe's stage has begun.
async fn probing(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<HashSet<DeploymentId>> {
    let ids = sqlx::query_scalar!(
        r#"select deployment_id as "id: DeploymentId" from deployment_stages
           where deployment_id = any($1) and stage = 'probe' and state <> 'waiting'"#,
        ids
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().collect())
}

/// Those of which an instance runs under the promise that it is the only one. That holds also against a release that
/// makes no such promise.
async fn serving_exclusively(conn: &mut PgConnection, apps: &[Uuid]) -> sqlx::Result<HashSet<AppId>> {
    let apps = sqlx::query_scalar!(
        r#"select distinct app_id as "app: AppId" from instances
           where app_id = any($1) and exclusive and task is null and (wanted or state <> 'stopped')"#,
        apps
    )
    .fetch_all(conn)
    .await?;
    Ok(apps.into_iter().collect())
}

/// Healthy instances of the live release that left the table and still run.
async fn back(conn: &mut PgConnection, apps: &[Uuid]) -> sqlx::Result<HashMap<AppId, usize>> {
    let rows = sqlx::query!(
        r#"select instances.app_id as "app: AppId", count(*) as "count!"
           from instances
           join deployments on deployments.id = instances.deployment_id and deployments.state = 'live'
           join nodes on nodes.id = instances.node_id
           where instances.app_id = any($1) and wanted and not in_rotation and out_generation is not null
             and instances.state = 'healthy'
             and not coalesce(missing_since < now() - make_interval(secs => $2), false)
           group by instances.app_id"#,
        apps,
        GONE_S
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.app, usize::try_from(row.count).unwrap_or_default())).collect())
}

/// Nodes that are missing and had an instance of the deployment.
async fn lost(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<HashMap<DeploymentId, Vec<String>>> {
    let rows = sqlx::query!(
        r#"select distinct deployment_id as "deployment: DeploymentId", nodes.name
           from instances join nodes on nodes.id = instances.node_id
           where deployment_id = any($1) and not wanted and task is null and missing_since is not null
           order by nodes.name"#,
        ids
    )
    .fetch_all(conn)
    .await?;
    let mut found: HashMap<_, Vec<String>> = HashMap::new();
    for row in rows {
        found.entry(row.deployment).or_default().push(row.name);
    }
    Ok(found)
}
