use protocol::ids::{EnvironmentId, OrganizationId, ProjectId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Project;

/// The environment that every project begins with.
pub const FIRST_ENVIRONMENT: &str = "production";

/// Projects of the organization in the order in which they were made, with one more than `limit`; the one with the slug
/// `only`, if it is given.
pub async fn list(
    conn: &mut PgConnection,
    organization: OrganizationId,
    only: Option<&str>,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Project>> {
    sqlx::query_as!(
        Project,
        r#"select projects.id, projects.slug, projects.name,
                  count(apps.id) filter (where deleted_at is null) as "apps!",
                  count(apps.id) filter (where deleted_at is not null) as "deleted_apps!"
           from projects
           left join environments on environments.project_id = projects.id
           left join apps on apps.environment_id = environments.id
           where organization_id = $1 and ($2::text is null or projects.slug = $2)
             and ($3::uuid is null or projects.id > $3)
           group by projects.id order by projects.id limit $4"#,
        organization as _,
        only,
        after,
        limit + 1
    )
    .fetch_all(conn)
    .await
}

/// How many projects the organization has.
pub async fn count(conn: &mut PgConnection, organization: OrganizationId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from projects where organization_id = $1"#,
        organization as _
    )
    .fetch_one(conn)
    .await
}

/// Makes a project with its first environment.
pub async fn create(
    conn: &mut PgConnection,
    organization: OrganizationId,
    slug: &str,
    name: &str,
) -> sqlx::Result<Project> {
    let project = sqlx::query_as!(
        Project,
        r#"insert into projects (id, organization_id, slug, name) values ($1, $2, $3, $4)
           returning id, slug, name, 0::bigint as "apps!", 0::bigint as "deleted_apps!""#,
        ProjectId::new() as _,
        organization as _,
        slug,
        name
    )
    .fetch_one(&mut *conn)
    .await?;
    sqlx::query!(
        "insert into environments (id, project_id, slug) values ($1, $2, $3)",
        EnvironmentId::new() as _,
        project.id as _,
        FIRST_ENVIRONMENT
    )
    .execute(conn)
    .await?;
    Ok(project)
}

/// `false` when the project is gone.
pub async fn rename(conn: &mut PgConnection, id: ProjectId, name: &str) -> sqlx::Result<bool> {
    let done = sqlx::query!("update projects set name = $2 where id = $1", id as _, name);
    Ok(done.execute(conn).await?.rows_affected() > 0)
}

/// One removal in the organization at a time: of two, each would leave the other's project as the last one.
pub async fn lock(conn: &mut PgConnection, organization: OrganizationId) -> sqlx::Result<()> {
    sqlx::query!("select from organizations where id = $1 for no key update", organization as _)
        .execute(conn)
        .await?;
    Ok(())
}

/// Waits for apps and grants that are on their way into the project, and lets no others in until the transaction ends.
pub async fn close(conn: &mut PgConnection, organization: OrganizationId, slug: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "select from projects where organization_id = $1 and slug = $2 for update",
        organization as _,
        slug
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Holds the project for what is about to refer to it, so that it is not removed meanwhile; `false` when it is gone.
pub async fn hold(conn: &mut PgConnection, id: ProjectId) -> sqlx::Result<bool> {
    let held =
        sqlx::query_scalar!(r#"select true as "held!" from projects where id = $1 for key share"#, id as _);
    Ok(held.fetch_optional(conn).await?.is_some())
}

/// With its environments and grants.
pub async fn delete(conn: &mut PgConnection, id: ProjectId) -> sqlx::Result<()> {
    sqlx::query!("delete from projects where id = $1", id as _).execute(conn).await?;
    Ok(())
}

/// The first environment of the project with this slug, for an app that comes into it: the project stays until the
/// transaction ends.
pub async fn enter(
    conn: &mut PgConnection,
    organization: OrganizationId,
    project: &str,
) -> sqlx::Result<Option<EnvironmentId>> {
    sqlx::query_scalar!(
        "select environments.id from environments join projects on projects.id = environments.project_id
         where projects.organization_id = $1 and projects.slug = $2
         order by environments.id limit 1 for key share of projects",
        organization as _,
        project
    )
    .fetch_optional(conn)
    .await
}
