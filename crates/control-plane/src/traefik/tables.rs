//! Rendered tables, by generation.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use ::traefik::dynamic;
use anyhow::Context;
use axum::body::Bytes;
use axum::http::HeaderValue;
use protocol::ids::NodeId;
use protocol::spec::{Generation, ProxySpec};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::app::AppState;
use crate::generations::{self, Consumer};
use crate::http::{Error, Result};
use crate::reconcile::dispatch_specs::proxy_spec;
use crate::routes;

/// Whose table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Table {
    Proxies,
    /// Of the direct zones of one worker.
    Worker(NodeId),
}

/// What Traefik gets.
#[derive(Debug, Clone)]
pub(super) struct Rendered {
    generation: Generation,
    pub(super) body: Bytes,
    pub(super) etag: HeaderValue,
}

/// The last rendering of each table.
#[derive(Debug, Default)]
pub struct Tables {
    rendered: RwLock<HashMap<Table, Rendered>>,
    /// Held while a table is rendered: of many that ask after a change, one renders and the others take its bytes.
    rendering: Mutex<()>,
}

impl Tables {
    fn find(&self, table: Table, generation: Generation) -> Option<Rendered> {
        let rendered = self.rendered.read().unwrap_or_else(PoisonError::into_inner);
        rendered.get(&table).filter(|found| found.generation == generation).cloned()
    }

    fn keep(&self, table: Table, rendered: Rendered) {
        self.rendered.write().unwrap_or_else(PoisonError::into_inner).insert(table, rendered);
    }
}

/// The table as it is at `generation`, the one in force, or at a later one. Reads nothing when it is known.
pub(super) async fn rendered(app: &AppState, table: Table, generation: Generation) -> Result<Rendered> {
    if let Some(found) = app.traefik.find(table, generation) {
        return Ok(found);
    }
    let _one = app.traefik.rendering.lock().await;
    if let Some(found) = app.traefik.find(table, generation) {
        return Ok(found);
    }
    let (generation, spec) = read(app, table).await?;
    let rendering = tokio::task::spawn_blocking(move || render(generation, &spec));
    let rendered = rendering.await.context("a table could not be rendered")??;
    app.traefik.keep(table, rendered.clone());
    Ok(rendered)
}

/// The generation and its rows, in one snapshot.
async fn read(app: &AppState, table: Table) -> Result<(Generation, ProxySpec)> {
    let mut tx = app.db.begin().await?;
    sqlx::query!("set transaction isolation level repeatable read").execute(&mut *tx).await?;
    let generation = generations::current(&mut tx, Consumer::Routes).await?;
    let spec = match table {
        Table::Proxies => proxy_spec(app, &mut tx).await?,
        Table::Worker(id) => routes::of_worker(&mut tx, id)
            .await?
            .ok_or_else(|| Error::not_found(format_args!("node {id}")))?,
    };
    tx.rollback().await?;
    Ok((generation, spec))
}

fn render(generation: Generation, spec: &ProxySpec) -> anyhow::Result<Rendered> {
    let body = Bytes::from(serde_json::to_vec(&dynamic(spec))?);
    let etag = HeaderValue::try_from(format!("\"{}\"", hex::encode(Sha256::digest(&body))))?;
    Ok(Rendered { generation, body, etag })
}
