use protocol::ids::OrganizationId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Notice, Open, Severity, Step};
use crate::bus::{self, Topic};

/// Resolved ones are kept for so many days.
const KEPT_DAYS: i32 = 30;

/// What the organization may see: its own and those of the whole installation; the worst first. `resolved` adds those of
/// the last days.
pub async fn list(
    conn: &mut PgConnection,
    organization: OrganizationId,
    resolved: bool,
) -> sqlx::Result<Vec<Notice>> {
    sqlx::query_as!(
        Notice,
        r#"select id, kind, subject, severity as "severity: Severity", text, hint, first_seen, told_at, resolved_at
           from notices
           where (organization_id = $1 or organization_id is null) and (resolved_at is null or $2)
           order by resolved_at is not null, severity = 'critical' desc, told_at desc, id limit 500"#,
        organization as _,
        resolved
    )
    .fetch_all(conn)
    .await
}

/// Whether the organization may see the notice.
pub async fn is_visible(
    conn: &mut PgConnection,
    organization: OrganizationId,
    id: Option<Uuid>,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from notices where id = $2 and (organization_id = $1 or organization_id is null)) as "visible!""#,
        organization as _,
        id
    )
    .fetch_one(conn)
    .await
}

/// All that are not resolved, locked: two replicas must not tell the same.
pub async fn open(conn: &mut PgConnection) -> sqlx::Result<Vec<Open>> {
    sqlx::query_as!(
        Open,
        r#"select id, organization_id as "organization: OrganizationId", kind, subject, stage, text, hint
           from notices where resolved_at is null order by id for update"#
    )
    .fetch_all(conn)
    .await
}

/// Takes one step, and says which notice changed.
pub async fn take(conn: &mut PgConnection, step: &Step<'_>) -> sqlx::Result<()> {
    let id = match step {
        Step::Raise(trouble) => {
            let id = Uuid::now_v7();
            sqlx::query!(
                "insert into notices (id, organization_id, kind, subject, stage, severity, text, hint)
                 values ($1, $2, $3, $4, $5, $6, $7, $8)",
                id,
                trouble.organization as _,
                trouble.kind,
                trouble.subject,
                trouble.stage,
                trouble.severity as _,
                trouble.text,
                trouble.hint
            )
            .execute(&mut *conn)
            .await?;
            id
        }
        Step::Tell(id, trouble) | Step::Reword(id, trouble) => {
            sqlx::query!(
                "update notices
                 set told_at = case when stage = $2 then told_at else now() end, stage = $2, severity = $3, text = $4,
                     hint = $5
                 where id = $1",
                id,
                trouble.stage,
                trouble.severity as _,
                trouble.text,
                trouble.hint
            )
            .execute(&mut *conn)
            .await?;
            *id
        }
        Step::Resolve(id) => {
            sqlx::query!("update notices set resolved_at = now() where id = $1", id)
                .execute(&mut *conn)
                .await?;
            *id
        }
    };
    bus::say(conn, Topic::Notices, id).await
}

/// How many are open, by kind and severity.
pub async fn counts(conn: &mut PgConnection) -> sqlx::Result<Vec<(String, String, i64)>> {
    let rows = sqlx::query!(
        r#"select kind, severity, count(*) as "count!" from notices where resolved_at is null group by kind, severity"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.kind, row.severity, row.count)).collect())
}

/// Forgets those that were resolved long ago.
pub async fn sweep(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("delete from notices where resolved_at < now() - make_interval(days => $1)", KEPT_DAYS)
        .execute(conn)
        .await?;
    Ok(())
}
