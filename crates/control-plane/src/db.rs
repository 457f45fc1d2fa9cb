//! The pool and the migrations.

use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use daemon::credentials::{ExposeSecret, SecretString};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tracing::{info, warn};

/// All migrations, embedded.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// A pool whose statements give up after 30 s and whose transactions do not idle.
pub fn pool(url: &SecretString, connections: u32) -> anyhow::Result<PgPool> {
    let options = PgConnectOptions::from_str(url.expose_secret())
        .map_err(|error| anyhow::anyhow!("`database.url` is not a Postgres URL: {error}"))?
        .application_name("wisehosting-control-plane")
        .options([("statement_timeout", "30s"), ("idle_in_transaction_session_timeout", "60s")]);
    Ok(PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(5))
        .connect_lazy_with(options))
}

/// Waits until Postgres answers, for at most `patience`.
pub async fn wait(pool: &PgPool, patience: Duration) -> anyhow::Result<()> {
    let started = tokio::time::Instant::now();
    loop {
        match sqlx::query("select 1").execute(pool).await {
            Ok(_) => return Ok(()),
            Err(error) if started.elapsed() > patience => {
                return Err(error).context("Postgres does not answer: check `database.url` and that it runs");
            }
            Err(error) => warn!(%error, "waiting for Postgres"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Applies what is missing. Refuses when a migration is half applied: that needs a person.
pub async fn migrate(pool: &PgPool) -> anyhow::Result<()> {
    MIGRATIONS.run(pool).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::Dirty(version) => anyhow::anyhow!(
            "migration {version} is half applied. Compare the schema with migrations/{version}_*.sql, finish or undo it by hand or restore a backup, then set its `success` in _sqlx_migrations"
        ),
        other => anyhow::Error::new(other).context("cannot migrate the database"),
    })?;
    info!(
        newest = MIGRATIONS.iter().map(|migration| migration.version).max(),
        "database schema is up to date"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[sqlx::test(migrator = "MIGRATIONS")]
    async fn a_half_applied_migration_is_refused_and_named(pool: PgPool) {
        migrate(&pool).await.expect("nothing to do");
        let newest = sqlx::query_scalar::<_, i64>(
            "update _sqlx_migrations set success = false
             where version = (select max(version) from _sqlx_migrations) returning version",
        )
        .fetch_one(&pool)
        .await
        .expect("the newest migration");
        let error = format!("{:#}", migrate(&pool).await.expect_err("half applied"));
        assert!(error.contains(&format!("migration {newest} is half applied")), "{error}");
    }

    #[sqlx::test(migrator = "MIGRATIONS")]
    async fn a_migration_that_was_edited_after_it_was_applied_is_refused(pool: PgPool) {
        sqlx::query("update _sqlx_migrations set checksum = '\\x00'").execute(&pool).await.expect("edit");
        let error = format!("{:#}", migrate(&pool).await.expect_err("edited"));
        assert!(error.contains("previously applied but has been modified"), "{error}");
    }
}
