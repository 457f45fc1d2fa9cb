//! The pool, what an outage of Postgres looks like, and the migrations.

use std::io;
use std::time::Duration;

use anyhow::Context;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool};
use tokio::time::timeout;
use tracing::{info, warn};

/// All migrations, embedded.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// Time for Postgres to say that a connection still works. A host that lost its power says nothing at all.
const ANSWER: Duration = Duration::from_secs(2);

/// A pool whose statements give up after 30 s and whose transactions do not idle.
///
/// No connection to a server that refuses changes is handed out: after a fail-over the former leader may be one that
/// only follows, and the next connection finds the new leader.
pub fn pool(options: PgConnectOptions, connections: u32) -> PgPool {
    let options = options
        .application_name("wisehosting-control-plane")
        // Every statement here is short: compiling one takes longer than any of them.
        .options([
            ("statement_timeout", "30s"),
            ("idle_in_transaction_session_timeout", "60s"),
            ("jit", "off"),
        ]);
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(5))
        // The check below is one round trip too.
        .test_before_acquire(false)
        .before_acquire(|conn, _| Box::pin(async move { leads(conn).await.map(|()| true) }))
        .after_connect(|conn, _| Box::pin(leads(conn)))
        .connect_lazy_with(options)
}

/// Fails when the server on this connection is gone, or follows another one and refuses changes.
pub async fn leads(conn: &mut PgConnection) -> sqlx::Result<()> {
    let question =
        sqlx::query_scalar("select current_setting('transaction_read_only') = 'off'").fetch_one(conn);
    match timeout(ANSWER, question).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(sqlx::Error::Io(io::Error::other("this Postgres takes no changes"))),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())),
    }
}

/// Whether `error` says that Postgres is away, going, coming, overloaded or no longer the leader, rather than that a
/// statement is wrong. What failed is worth trying again.
pub fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // Connection, resources, intervention of an operator; read-only, serialization, deadlock.
            matches!(code.get(..2), Some("08" | "53" | "57")) || matches!(&*code, "25006" | "40001" | "40P01")
        }),
        _ => false,
    }
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
    use sqlx::ConnectOptions;

    use super::*;

    /// Ends all other connections to the test's database, as a fail-over does.
    async fn cut(outside: &mut PgConnection) {
        sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()",
        )
        .execute(outside)
        .await
        .expect("terminate");
    }

    #[sqlx::test(migrator = "MIGRATIONS")]
    async fn connections_that_were_cut_are_replaced_before_anyone_notices(
        _: PgPoolOptions,
        connect: PgConnectOptions,
    ) {
        let mut outside = connect.connect().await.expect("connect");
        let pool = pool(connect, 3);
        let held = [pool.acquire().await, pool.acquire().await, pool.acquire().await];
        drop(held);
        cut(&mut outside).await;
        for _ in 0..4 {
            sqlx::query("select 1").execute(&pool).await.expect("a new connection");
        }
    }

    #[sqlx::test(migrator = "MIGRATIONS")]
    async fn a_server_that_takes_no_changes_is_an_outage_until_it_does(
        _: PgPoolOptions,
        connect: PgConnectOptions,
    ) {
        let mut outside = connect.connect().await.expect("connect");
        let name = connect.get_database().expect("a name").to_owned();
        let read_only = |on| {
            sqlx::AssertSqlSafe(format!("alter database \"{name}\" set default_transaction_read_only = {on}"))
        };
        let pool = pool(connect, 2);
        sqlx::query("select 1").execute(&pool).await.expect("takes changes");
        sqlx::raw_sql(read_only(true)).execute(&mut outside).await.expect("alter");
        cut(&mut outside).await;
        let error = sqlx::query("select 1").execute(&pool).await.expect_err("takes no changes");
        assert!(is_outage(&error), "{error}");
        sqlx::raw_sql(read_only(false)).execute(&mut outside).await.expect("alter");
        sqlx::query("delete from users").execute(&pool).await.expect("takes changes again");
    }

    #[sqlx::test(migrator = "MIGRATIONS")]
    async fn a_refused_change_is_an_outage_and_a_wrong_statement_is_none(pool: PgPool) {
        let mut tx = pool.begin_with("begin read only").await.expect("begin");
        let error = sqlx::query("delete from users").execute(&mut *tx).await.expect_err("read-only");
        assert!(is_outage(&error), "{error}");
        let error = sqlx::query("selec").execute(&pool).await.expect_err("no SQL");
        assert!(!is_outage(&error), "{error}");
        let error = sqlx::query("select 1/0").execute(&pool).await.expect_err("no number");
        assert!(!is_outage(&error), "{error}");
    }

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
