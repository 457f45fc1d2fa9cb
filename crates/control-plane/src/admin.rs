//! Chores for someone who sits at the control plane's host.

use anyhow::Context;
use daemon::credentials::SecretString;
use protocol::ids::UserId;
use sqlx::PgPool;

use crate::identity::password;
use crate::{audit, digest};

/// Makes a code that opens the first-run page within a day. Refuses once there is a user.
pub async fn setup_code(pool: &PgPool) -> anyhow::Result<String> {
    let mut tx = pool.begin().await?;
    let users = sqlx::query_scalar!("select count(*) from users").fetch_one(&mut *tx).await?;
    anyhow::ensure!(
        users == Some(0),
        "this control plane is set up already; `admin reset-password EMAIL` helps if nobody can sign in"
    );
    let code = digest::new_token("");
    sqlx::query!("delete from setup_codes where expires_at < now()").execute(&mut *tx).await?;
    sqlx::query!(
        "insert into setup_codes (code_digest, expires_at) values ($1, now() + interval '1 day')",
        digest::of_token(&code)
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(code)
}

/// Gives `email` a new random password, ends their sessions, and returns the password.
pub async fn reset_password(pool: &PgPool, email: &str) -> anyhow::Result<SecretString> {
    let password = digest::new_token("")[..24].to_owned();
    let hash = password::hash(password.clone()).await?;
    let mut tx = pool.begin().await?;
    let user: UserId = sqlx::query_scalar!(
        "update users set password_hash = $2 where lower(email) = lower($1) returning id",
        email,
        hash
    )
    .fetch_optional(&mut *tx)
    .await?
    .with_context(|| format!("there is no user with the e-mail address {email}"))?;
    sqlx::query!("delete from sessions where user_id = $1", user as _).execute(&mut *tx).await?;
    let target = format!("user:{email}");
    audit::record_system(&mut tx, "system", "user.reset-password", &target, serde_json::json!({})).await?;
    tx.commit().await?;
    Ok(SecretString::from(password))
}
