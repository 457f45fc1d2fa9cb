//! The account at each CA. `POST /v1/jobs/<id>/account` keeps a new one before anything is ordered with it: CAs limit
//! how many are made, and an order that fails has made one as well.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use protocol::ids::JobId;
use protocol::job::NewAccount;
use sqlx::PgConnection;
use tracing::info;

use super::store::{self, attempts};
use crate::app::AppState;
use crate::http::{Body, Error, Result};
use crate::hub::token::Agent;
use crate::jobs;
use crate::vault::Purpose;

/// Bytes. Credentials are a key and two URLs.
const LIMIT: usize = 16 << 10;

pub async fn keep_account(
    State(app): State<AppState>,
    agent: Agent,
    Path(id): Path<JobId>,
    Body(body): Body<NewAccount>,
) -> Result<StatusCode> {
    if body.credentials.len() > LIMIT {
        return Err(Error::invalid("credentials", "an account is shorter than this"));
    }
    let mut tx = app.db.begin().await?;
    let runs = jobs::store::lock_running(&mut tx, id, agent.node.id).await?.is_some();
    let attempt = if runs { attempts::of_job(&mut tx, id).await? } else { None };
    let attempt = attempt.ok_or_else(|| {
        Error::not_found(format_args!("certificate job {id} running on {}", agent.node.name))
    })?;
    keep(&app, &mut tx, &attempt.directory, &body.credentials).await?;
    tx.commit().await?;
    info!(directory = attempt.directory, "a new account at the CA");
    Ok(StatusCode::NO_CONTENT)
}

/// Seals and stores it, in place of an earlier one at the same CA.
pub async fn keep(
    app: &AppState,
    conn: &mut PgConnection,
    directory: &str,
    credentials: &str,
) -> sqlx::Result<()> {
    let sealed = app.vault.seal(Purpose::AcmeAccount, &identity(directory), credentials.as_bytes());
    store::set_account(conn, directory, &sealed).await
}

/// The credentials at `directory`, if there is an account.
pub async fn find(
    app: &AppState,
    conn: &mut PgConnection,
    directory: &str,
) -> anyhow::Result<Option<String>> {
    let Some(sealed) = store::account(conn, directory).await? else { return Ok(None) };
    let plain = app.vault.open(Purpose::AcmeAccount, &identity(directory), &sealed)?;
    Ok(Some(String::from_utf8(plain)?))
}

fn identity(directory: &str) -> String {
    format!("acme-account:{directory}")
}
