//! What has had its time goes: logs and ended jobs after 14 days, deleted apps after 7, ended sessions of users and in instances, codes,
//! challenges, how nodes went and came back, and uploads that nobody deployed.

use chrono::Utc;
use daemon::reconcile::Reconciler;

use crate::app::AppState;
use crate::generations::{self, Consumer};
use crate::{archives, certificates, deployments, exec, logs, nodes, notices, tombstones};

pub struct Retention(pub AppState);

impl Reconciler for Retention {
    fn name(&self) -> &'static str {
        "retention"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let db = &self.0.db;
        sqlx::query!("delete from deployment_log where at < now() - interval '14 days'").execute(db).await?;
        logs::partitions::keep(db, Utc::now().date_naive()).await?;
        sqlx::query!("delete from sessions where expires_at < now()").execute(db).await?;
        sqlx::query!("delete from api_tokens where expires_at < now() - interval '14 days'")
            .execute(db)
            .await?;
        sqlx::query!("delete from setup_codes where expires_at < now()").execute(db).await?;
        sqlx::query!("delete from node_tokens where expires_at < now() - interval '14 days'")
            .execute(db)
            .await?;
        sqlx::query!("delete from acme_challenges where expires_at < now()").execute(db).await?;
        sqlx::query!(
            "delete from jobs
             where state not in ('queued', 'running') and finished_at < now() - interval '14 days'"
        )
        .execute(db)
        .await?;
        let mut conn = db.acquire().await?;
        archives::store::sweep(&mut conn).await?;
        deployments::store::keys::sweep(&mut conn).await?;
        exec::store::sweep(&mut conn).await?;
        notices::store::sweep(&mut conn).await?;
        certificates::store::attempts::sweep(&mut conn).await?;
        nodes::store::checks::sweep(&mut conn, self.0.config.node_health.history_days).await?;
        nodes::store::storage::sweep(&mut conn, self.0.config.node_health.history_days).await?;
        drop(conn);
        tombstones::sweep(&self.0).await?;
        refresh_tickets(&self.0).await
    }
}

/// Image tickets in a worker's desired state last until the end of the next day, so each day has a new one.
async fn refresh_tickets(app: &AppState) -> anyhow::Result<()> {
    let mut tx = app.db.begin().await?;
    let nodes = sqlx::query_scalar!(
        r#"select distinct node_id as "node_id!: protocol::ids::NodeId"
         from (select node_id from instances where wanted
               union select node_id from image_orders where action = 'hold') as with_tickets
         join generations on consumer = 'worker:' || node_id
         where (changed_at at time zone 'utc')::date < (now() at time zone 'utc')::date"#
    )
    .fetch_all(&mut *tx)
    .await?;
    for node in nodes {
        generations::raise(&mut tx, Consumer::Worker(node)).await?;
    }
    tx.commit().await?;
    Ok(())
}
