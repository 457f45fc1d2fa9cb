//! What every handler and reconciler shares.

use std::sync::Arc;

use sqlx::PgPool;
use uuid::Uuid;

use crate::bus::Bus;
use crate::config::Config;
use crate::vault::Vault;

/// Axum's state.
pub type AppState = Arc<App>;

/// One running control plane.
#[derive(Debug)]
pub struct App {
    /// Names this replica; new at every start.
    pub replica: Uuid,
    pub config: Config,
    pub db: PgPool,
    pub vault: Vault,
    pub bus: Bus,
}
