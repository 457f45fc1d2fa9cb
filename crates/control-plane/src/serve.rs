//! Start of a control plane, in the order in which its parts need each other: secrets → database → schema → the secret is
//! the database's own → zone → front → listeners → reconcilers.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use daemon::credentials::{Credentials, SecretString};
use daemon::lifecycle::Lifecycle;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tracing::info;

use crate::app::{App, AppState};
use crate::config::Config;
use crate::http::listen;
use crate::secrets::{self, Secrets};
use crate::{db, front, http, mesh, nodes, reconcile, secret_check, zones};

/// How long a start waits for Postgres before it fails and systemd tries again.
pub const DATABASE_PATIENCE: Duration = Duration::from_mins(1);

/// How long a stop waits for requests and tasks.
const GRACE: Duration = Duration::from_secs(20);

/// Runs until a signal.
pub async fn run(mut config: Config, credentials: &Credentials) -> anyhow::Result<ExitCode> {
    let metrics = daemon::status::install_metrics();
    if let Some(acme) = &mut config.acme {
        acme.eab_hmac_key = credentials.get("acme_eab_hmac_key", acme.eab_hmac_key.as_ref())?;
    }
    let secrets = Secrets::load(&config, credentials)?;
    let pool = db::pool(secrets::database(&config, credentials)?, config.database.connections);
    let listeners = Listeners::bind(&config)?;
    db::wait(&pool, DATABASE_PATIENCE).await?;
    db::migrate(&pool).await?;
    let mut lifecycle = Lifecycle::new();
    let app: AppState = Arc::new(App { stopping: lifecycle.stopping(), ..App::new(config, pool, secrets) });
    secret_check::verify(&app.db, &app.vault).await?;
    ensure_zone(&app.db, &app.config.proxy.subdomain_base).await?;
    front::ensure(&app.db, &app.config).await?;
    info!(replica = %app.replica, base_url = %app.config.api_server.base_url, "control plane starts");
    let stop = lifecycle.stopping();
    lifecycle.spawn("bus", app.bus.clone().run(app.db.clone(), stop));
    nodes::declared::sync_declared(&app).await?;
    mesh::pool::settle(&app).await?;
    reconcile::tasks(&app, &mut lifecycle);
    let stop = lifecycle.stopping();
    lifecycle.spawn("metrics", daemon::status::fold_metrics(metrics.clone(), stop));
    listeners.serve(&app, metrics, &mut lifecycle);
    let code = lifecycle.run(GRACE).await;
    app.db.close().await;
    code
}

/// The API's document, as text. Needs no configuration and touches no database.
pub fn openapi_text() -> anyhow::Result<String> {
    let pool = db::pool(PgConnectOptions::new_without_pgpass(), 1);
    let secrets =
        Secrets { api_server_secret: SecretString::default(), proxy_token: SecretString::default() };
    let (_, document) = http::api(&Arc::new(App::new(Config::example(), pool, secrets)));
    Ok(document.to_pretty_json()?)
}

/// The zone of the configuration exists.
pub async fn ensure_zone(pool: &PgPool, suffix: &str) -> sqlx::Result<()> {
    zones::store::ensure(&mut *pool.acquire().await?, suffix).await
}

/// Bound before anything else is done, so that a port in use is told at once.
struct Listeners {
    public: tokio::net::TcpListener,
    tls: Option<tokio_rustls::TlsAcceptor>,
    local: Option<tokio::net::TcpListener>,
    front: Option<tokio::net::TcpListener>,
    mesh: tokio::net::TcpListener,
}

impl Listeners {
    fn bind(config: &Config) -> anyhow::Result<Self> {
        let server = &config.api_server;
        let tls = match (&server.tls_cert, &server.tls_key) {
            (Some(certificate), Some(key)) => Some(listen::tls(certificate, key)?),
            _ => None,
        };
        let optional = |key, address: Option<std::net::SocketAddr>| {
            address.map(|address| listen::bind(key, address)).transpose()
        };
        Ok(Self {
            public: listen::bind("api_server.listen", server.listen)?,
            tls,
            local: optional("api_server.local_listen", server.local_listen)?,
            front: optional("api_server.front_listen", server.front_listen)?,
            mesh: listen::bind("api_server.mesh_listen", server.mesh_listen)?,
        })
    }

    fn serve(
        self,
        app: &AppState,
        metrics: Option<metrics_exporter_prometheus::PrometheusHandle>,
        lifecycle: &mut Lifecycle,
    ) {
        let stop = lifecycle.stopping();
        let public = http::public_router(app);
        if let Some(local) = self.local {
            lifecycle.spawn("local listener", listen::serve(local, public.clone(), stop.clone()));
        }
        if let Some(front) = self.front {
            lifecycle.spawn("front listener", listen::serve(front, http::front_router(app), stop.clone()));
        }
        match self.tls {
            Some(tls) => {
                lifecycle.spawn("public listener", listen::serve_tls(self.public, tls, public, stop.clone()));
            }
            None => lifecycle.spawn("public listener", listen::serve(self.public, public, stop.clone())),
        }
        let mesh = http::mesh_router(app, metrics);
        lifecycle.spawn("mesh listener", listen::serve(self.mesh, mesh, stop));
    }
}
