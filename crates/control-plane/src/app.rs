//! What every handler and reconciler shares.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use daemon::credentials::SecretString;
use daemon::reconcile::{Status, StatusCell};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bus::Bus;
use crate::config::Config;
use crate::front::Proxies;
use crate::healing::lease::Leases;
use crate::http::limits::Limits;
use crate::hub::Hub;
use crate::nodes::health::{breaker::Breakers, probe};
use crate::nodes::numbers::live::Live;
use crate::secrets::Secrets;
use crate::traefik::Tables;
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
    /// Bearer of the Traefik provider endpoints.
    pub proxy_token: SecretString,
    pub limits: Limits,
    /// Cancelled when the process stops; long answers end then.
    pub stopping: CancellationToken,
    /// The agents' connections.
    pub hub: Hub,
    /// How the hosts are doing that tell this replica.
    pub numbers: Live,
    /// Which nodes took no connections lately.
    pub breakers: Breakers,
    /// When workers were seen to have been granted their leases.
    pub leases: Leases,
    /// What nodes are asked with whether they are there.
    pub check_client: probe::Client,
    /// Route tables as a polling Traefik gets them.
    pub traefik: Tables,
    /// Who may forward requests to the front.
    pub proxies: Proxies,
    pub(crate) reconcilers: Mutex<BTreeMap<&'static str, StatusCell>>,
}

impl App {
    pub fn new(config: Config, db: PgPool, secrets: Secrets) -> Self {
        Self {
            replica: Uuid::now_v7(),
            config,
            db,
            vault: Vault::new(secrets.api_server_secret),
            bus: Bus::default(),
            proxy_token: secrets.proxy_token,
            limits: Limits::default(),
            stopping: CancellationToken::new(),
            hub: Hub::default(),
            numbers: Live::default(),
            breakers: Breakers::default(),
            leases: Leases::default(),
            check_client: probe::Client::default(),
            traefik: Tables::default(),
            proxies: Proxies::default(),
            reconcilers: Mutex::default(),
        }
    }

    /// A reconciler runs; its status is in the cell.
    pub fn note_reconciler(&self, name: &'static str, status: StatusCell) {
        self.reconcilers.lock().unwrap_or_else(PoisonError::into_inner).insert(name, status);
    }

    /// What the reconcilers of this replica did last.
    pub fn reconcilers(&self) -> BTreeMap<&'static str, Status> {
        let cells = self.reconcilers.lock().unwrap_or_else(PoisonError::into_inner);
        let status = |cell: &StatusCell| cell.lock().unwrap_or_else(PoisonError::into_inner).clone();
        cells.iter().map(|(name, cell)| (*name, status(cell))).collect()
    }
}
