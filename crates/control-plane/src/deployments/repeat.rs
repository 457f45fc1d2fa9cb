//! A request for a deployment that comes again because its answer was lost: `Idempotency-Key`, as
//! draft-ietf-httpapi-idempotency-key-header has it.

use axum::http::HeaderMap;
use protocol::ids::{AppId, DeploymentId};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use super::store::keys;
use crate::http::{Error, Result};

const HEADER: &str = "idempotency-key";

/// What one request is known by.
#[derive(Debug)]
pub struct Key {
    text: String,
    digest: Vec<u8>,
}

impl Key {
    /// `request` is what must be the same when it comes again.
    pub fn of(headers: &HeaderMap, request: &impl Serialize) -> Result<Option<Self>> {
        let Some(value) = headers.get(HEADER) else { return Ok(None) };
        let text = value.to_str().unwrap_or_default();
        if !(8..=128).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = "Idempotency-Key must have 8 to 128 letters, digits or signs, without spaces";
            return Err(Error::invalid("Idempotency-Key", message).hint("Use a random UUID for each request"));
        }
        let body = serde_json::to_vec(request).map_err(anyhow::Error::new)?;
        Ok(Some(Self { text: text.to_owned(), digest: Sha256::digest(body).to_vec() }))
    }

    /// The deployment that the same request made before. The caller holds the app's row.
    pub async fn made(&self, conn: &mut PgConnection, app: AppId) -> Result<Option<DeploymentId>> {
        match keys::find(conn, app, &self.text).await? {
            None => Ok(None),
            Some(asked) if asked.digest == self.digest => Ok(Some(asked.deployment_id)),
            Some(_) => {
                Err(Error::invalid("Idempotency-Key", "this Idempotency-Key was used for another request")
                    .hint("Use a new one for each request, and the same one only to repeat it"))
            }
        }
    }

    pub async fn keep(&self, conn: &mut PgConnection, app: AppId, made: DeploymentId) -> sqlx::Result<()> {
        keys::keep(conn, app, &self.text, &self.digest, made).await
    }
}
