//! What the queue works on: workers with room, apps, a history, and builds that wait.

use anyhow::Result;
use sqlx::PgPool;

/// Four workers that never run out of slots, and `history` deployments that ended.
pub(crate) async fn make(pool: &PgPool, history: i64) -> Result<()> {
    for sql in [
        "insert into organizations (id, slug, name) values (gen_random_uuid(), 'bench', 'bench')",
        "insert into projects (id, organization_id, slug, name)
         select gen_random_uuid(), id, 'bench', 'bench' from organizations",
        "insert into environments (id, project_id, slug) select gen_random_uuid(), id, 'bench' from projects",
        "insert into zones (id, suffix) values (gen_random_uuid(), 'bench.example.com')",
        "insert into nodes (id, name, roles, origin, mesh_address, public_key)
         select gen_random_uuid(), 'w' || n, '{worker}', 'enrolled', ('10.50.0.' || n)::inet, 'key' || n
         from generate_series(11, 14) n",
        "insert into agents (node_id, kind, build_slots, connected_to)
         select id, 'worker', 1000, gen_random_uuid() from nodes",
        "insert into apps (id, environment_id, zone_id, slug, settings)
         select gen_random_uuid(), environments.id, zones.id, 'history', '{}' from environments, zones",
    ] {
        sqlx::query(sql).execute(pool).await?;
    }
    sqlx::query(
        "insert into deployments (id, app_id, number, kind, settings, variables, created_by, state)
         select gen_random_uuid(), apps.id, n, 'build', '{}', '', 'bench', 'superseded'
         from apps, generate_series(1, $1) n",
    )
    .bind(history)
    .execute(pool)
    .await?;
    sqlx::query(
        "insert into jobs (id, kind, deployment_id, payload, state, finished_at)
         select gen_random_uuid(), 'build', id, '', 'succeeded', now() from deployments",
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// So many builds wait, each of an app of its own. What an earlier measurement left is over.
pub(crate) async fn queue(pool: &PgPool, builds: u32) -> Result<()> {
    let mut tx = pool.begin().await?;
    for sql in [
        "delete from apps where slug <> 'history'",
        "update agents set connected_to = gen_random_uuid()",
        "create temporary table waiting on commit drop as
         select gen_random_uuid() as app, gen_random_uuid() as deployment, n from generate_series(1, $1) n",
        "insert into apps (id, environment_id, zone_id, slug, settings)
         select app, environments.id, zones.id, 'app' || n, '{}' from waiting, environments, zones",
        "insert into deployments (id, app_id, number, kind, settings, variables, created_by)
         select deployment, app, 1, 'build', '{}', '', 'bench' from waiting",
        "insert into deployment_stages (deployment_id, stage, state, started_at)
         select deployment, stage, case stage when 'queue' then 'running' else 'waiting' end, now()
         from waiting, unnest('{queue,fetch,build,start,probe,route,drain}'::text[]) stage",
        "insert into jobs (id, kind, deployment_id, payload)
         select gen_random_uuid(), 'build', deployment, '' from waiting",
    ] {
        let query = sqlx::query(sql);
        let query = if sql.contains("$1") { query.bind(i64::from(builds)) } else { query };
        query.execute(&mut *tx).await?;
    }
    tx.commit().await?;
    // As autovacuum would have done by the time that so much was queued.
    sqlx::raw_sql("vacuum analyze jobs, deployments, deployment_stages, agents").execute(pool).await?;
    Ok(())
}
