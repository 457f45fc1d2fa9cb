use protocol::ids::{EnvironmentId, OrganizationId, ProjectId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Project;

/// The environment that every project begins with.
pub const FIRST_ENVIRONMENT: &str = "production";

pub async fn list(
    conn: &mut PgConnection,
    organization: OrganizationId,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Project>> {
    sqlx::query_as!(
        Project,
        "select id, slug, name from projects
         where organization_id = $1 and ($2::uuid is null or id > $2) order by id limit $3",
        organization as _,
        after,
        limit + 1
    )
    .fetch_all(conn)
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
        "insert into projects (id, organization_id, slug, name) values ($1, $2, $3, $4) returning id, slug, name",
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

/// The first environment of the project with this slug.
pub async fn environment(
    conn: &mut PgConnection,
    organization: OrganizationId,
    project: &str,
) -> sqlx::Result<Option<EnvironmentId>> {
    sqlx::query_scalar!(
        "select environments.id from environments join projects on projects.id = environments.project_id
         where projects.organization_id = $1 and projects.slug = $2 order by environments.id limit 1",
        organization as _,
        project
    )
    .fetch_optional(conn)
    .await
}
