//! A database and the `api_server_secret` of its sealed values belong together. The first start keeps a value sealed
//! under the secret; each later start opens it before anything serves. A restored dump with another secret is refused
//! whole, instead of failing value by value while new values are sealed under the wrong key.

use anyhow::Context;
use sqlx::PgPool;

use crate::vault::{Purpose, Vault, VaultError};

const PLAIN: &[u8] = b"wisehosting";
const IDENTITY: &str = "secret-check";

/// The secret is not the one that this database was sealed with.
#[derive(Debug, thiserror::Error)]
#[error(
    "the credential api_server_secret is not the one that this database was sealed with. Give the control plane the secret that was kept with this database's backup, or the database that belongs to this secret (docs/operations/backup.md)"
)]
pub struct WrongSecret(#[source] VaultError);

/// Refuses a secret that does not belong to the database; the first secret that a database sees is its own.
pub async fn verify(pool: &PgPool, vault: &Vault) -> anyhow::Result<()> {
    let sealed = vault.seal(Purpose::SecretCheck, IDENTITY, PLAIN);
    sqlx::query!("insert into secret_check (sealed) values ($1) on conflict do nothing", sealed)
        .execute(pool)
        .await
        .context("cannot keep the check of api_server_secret")?;
    let sealed = sqlx::query_scalar!("select sealed from secret_check")
        .fetch_one(pool)
        .await
        .context("cannot read the check of api_server_secret")?;
    vault.open(Purpose::SecretCheck, IDENTITY, &sealed).map_err(WrongSecret)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use daemon::credentials::SecretString;

    use super::*;
    use crate::db::MIGRATIONS;

    fn vault(secret: &str) -> Vault {
        Vault::new(SecretString::from(secret))
    }

    #[sqlx::test(migrator = "MIGRATIONS")]
    async fn the_first_secret_of_a_database_is_taken_again_and_another_is_refused(pool: PgPool) {
        verify(&pool, &vault("the first")).await.expect("an empty database takes any");
        verify(&pool, &vault("the first")).await.expect("the same again");
        let error = verify(&pool, &vault("another")).await.expect_err("another");
        assert!(error.downcast_ref::<WrongSecret>().is_some(), "{error:#}");
        let text = error.to_string();
        assert!(text.contains("api_server_secret") && text.contains("backup.md"), "{text}");
        verify(&pool, &vault("the first")).await.expect("a refusal changes nothing");
    }

    #[sqlx::test(migrator = "MIGRATIONS")]
    async fn replicas_that_start_together_on_an_empty_database_agree(pool: PgPool) {
        let vault = vault("shared");
        let (one, other) = tokio::join!(verify(&pool, &vault), verify(&pool, &vault));
        one.expect("one");
        other.expect("other");
    }
}
