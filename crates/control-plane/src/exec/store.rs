//! SQL of sessions.

use std::net::SocketAddr;

use protocol::exec::Size;
use protocol::ids::{
    AppId, ExecId, InstanceId, NodeId, OrganizationId, ProjectId, ReleaseId, SessionId, TokenId,
};
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};

use super::Place;
use crate::apps::instances::NodeRef;
use crate::apps::{self, Settings};
use crate::http::caller::{Caller, Via};
use crate::http::permission::{MemberRole, Permission};
use crate::nodes::ports::worker_address;

/// Sessions that wait or run.
#[derive(Debug)]
pub(super) struct Open {
    /// Of the organization.
    pub(super) all: i64,
    /// Of them those of the app that have containers of their own.
    pub(super) fresh: i64,
}

/// No other is added before the transaction ends.
pub(super) async fn count_open(
    conn: &mut PgConnection,
    organization: OrganizationId,
    app: AppId,
) -> sqlx::Result<Open> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('exec:' || $1::text, 0))",
        organization.to_string()
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query_as!(
        Open,
        r#"select count(*) as "all!", count(*) filter (where app_id = $2 and release_id is not null) as "fresh!"
           from exec_sessions
           where organization_id = $1 and ended_at is null and seen_at > now() - interval '1 minute'"#,
        organization as _,
        app as _
    )
    .fetch_one(conn)
    .await
}

pub(super) async fn insert(
    conn: &mut PgConnection,
    caller: &Caller,
    app: &apps::store::App,
    (place, node): (Place, NodeId),
    id: ExecId,
    request: &super::ExecRequest,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into exec_sessions
             (id, organization_id, app_id, instance_id, release_id, node_id, user_id, command, cols, rows)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        id as _,
        caller.organization_id as _,
        app.id as _,
        place.instance() as _,
        place.release() as _,
        node as _,
        caller.user_id as _,
        &request.command,
        request.terminal.map(|size| i32::from(size.cols)),
        request.terminal.map(|size| i32::from(size.rows)),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A session that its owner attaches to.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) id: ExecId,
    pub(super) app_id: AppId,
    pub(super) app: String,
    pub(super) place: Place,
    pub(super) node: NodeId,
    pub(super) node_name: String,
    /// Where its worker takes calls.
    pub(super) address: SocketAddr,
    /// Sealed.
    pub(super) signing_key: Option<Vec<u8>>,
    pub(super) command: Vec<String>,
    pub(super) terminal: Option<Size>,
}

/// Takes the session, once and soon after it was made. Nobody else's, of whatever organization.
pub(super) async fn attach(
    conn: &mut PgConnection,
    caller: &Caller,
    id: ExecId,
) -> sqlx::Result<Option<Attached>> {
    let row = sqlx::query!(
        "with taken as (
             update exec_sessions set attached_at = now(), seen_at = now()
             where id = $1 and user_id = $2 and organization_id = $3 and attached_at is null and ended_at is null
               and created_at > now() - interval '30 seconds'
             returning id, app_id, instance_id, release_id, node_id, command, cols, rows
         )
         select taken.app_id as \"app_id: AppId\", apps.slug, taken.instance_id as \"instance_id: InstanceId\",
                taken.release_id as \"release_id: ReleaseId\", taken.node_id as \"node_id: NodeId\", nodes.name, mesh_address,
                (host ->> 'worker_port')::int as worker_port, signing_key, command, cols, rows
         from taken join apps on apps.id = taken.app_id join nodes on nodes.id = taken.node_id",
        id as _,
        caller.user_id as _,
        caller.organization_id as _
    )
    .fetch_optional(conn)
    .await?;
    let cells = |count: Option<i32>| count.and_then(|count| u16::try_from(count).ok());
    let Some(row) = row else { return Ok(None) };
    let instance = row.instance_id.map(Place::Instance);
    // One of the two is there, by the table's rule.
    let Some(place) = instance.or(row.release_id.map(Place::Fresh)) else { return Ok(None) };
    Ok(Some(Attached {
        id,
        app_id: row.app_id,
        app: row.slug,
        place,
        node: row.node_id,
        node_name: row.name,
        address: worker_address(row.mesh_address, row.worker_port),
        signing_key: row.signing_key,
        command: row.command,
        terminal: cells(row.cols).zip(cells(row.rows)).map(|(cols, rows)| Size { cols, rows }),
    }))
}

/// A worker that is connected: one of `holders`, else the one with the fewest instances.
pub(super) async fn worker_for(conn: &mut PgConnection, holders: &[NodeId]) -> sqlx::Result<Option<NodeRef>> {
    let holders: Vec<uuid::Uuid> = holders.iter().map(|node| node.0).collect();
    sqlx::query_as!(
        NodeRef,
        r#"select nodes.id as "id: NodeId", nodes.name
           from nodes join agents on agents.node_id = nodes.id and kind = 'worker' and connected_to is not null
           where removed_at is null and 'worker' = any(roles)
           order by nodes.id = any($1) desc,
                    (select count(*) from instances where node_id = nodes.id and wanted), nodes.name
           limit 1"#,
        &holders
    )
    .fetch_optional(conn)
    .await
}

/// What a container of a release is made from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) project: ProjectId,
    pub(super) number: i32,
    pub(super) image_id: String,
    pub(super) image_reference: String,
    pub(super) settings: Json<Settings>,
    /// Sealed.
    pub(super) variables: Vec<u8>,
    pub(super) project_slug: String,
    /// Where the app is served.
    pub(super) host: String,
    pub(super) zone_port: Option<i32>,
    pub(super) source: Option<serde_json::Value>,
    pub(super) commit_id: Option<String>,
}

pub(super) async fn source(conn: &mut PgConnection, release: ReleaseId) -> sqlx::Result<Option<Source>> {
    sqlx::query_as!(
        Source,
        r#"select environments.project_id as "project: ProjectId", projects.slug as project_slug,
                  apps.slug || '.' || zones.suffix as "host!", zones.port as zone_port, number, image_id, image_reference,
                  releases.settings as "settings: Json<Settings>", variables, source, commit_id
           from releases
           join apps on apps.id = releases.app_id
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id
           join zones on zones.id = apps.zone_id
           where releases.id = $1"#,
        release as _
    )
    .fetch_optional(conn)
    .await
}

/// Says that the session lives; `false` when its owner may not have it any more: signed out, the token revoked, another
/// role, no member, the app deleted.
pub(super) async fn beat(pool: &PgPool, caller: &Caller, id: ExecId) -> sqlx::Result<bool> {
    let (session, token) = match caller.via {
        Via::Session(session) => (Some(session), None),
        Via::Token(token) => (None, Some(token)),
        Via::Password => (None, None),
    };
    let role: Option<MemberRole> = sqlx::query_scalar!(
        r#"update exec_sessions set seen_at = now() from members
           where exec_sessions.id = $1 and ended_at is null
             and exists (select from apps where id = exec_sessions.app_id and deleted_at is null)
             and members.organization_id = exec_sessions.organization_id and members.user_id = exec_sessions.user_id
             and ($2::uuid is null or exists (select from sessions where id = $2 and expires_at > now()))
             and ($3::uuid is null
                  or exists (select from api_tokens where id = $3 and (expires_at is null or expires_at > now())))
           returning role as "role: MemberRole""#,
        id as _,
        session as Option<SessionId>,
        token as Option<TokenId>
    )
    .fetch_optional(pool)
    .await?;
    Ok(role.is_some_and(|role| role >= Permission::AppExec.least_role()))
}

pub(super) async fn end(
    conn: &mut PgConnection,
    id: ExecId,
    exit_code: Option<i32>,
    reason: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update exec_sessions set ended_at = now(), exit_code = $2, reason = $3 where id = $1 and ended_at is null",
        id as _,
        exit_code,
        reason
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Sessions whose control plane died with them end; the rows of ended ones go after 30 days.
pub async fn sweep(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        "update exec_sessions set ended_at = seen_at, reason = 'lost'
         where ended_at is null and seen_at < now() - interval '1 minute'"
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("delete from exec_sessions where ended_at < now() - interval '30 days'")
        .execute(conn)
        .await?;
    Ok(())
}
