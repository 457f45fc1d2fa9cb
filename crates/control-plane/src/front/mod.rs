//! The control plane behind the fleet's own proxies: `base_url`'s host is a route like any app's, and the proxies alone
//! may say who a request comes from.

mod config;
pub mod store;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{PoisonError, RwLock};

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sqlx::PgPool;
use tracing::{info, warn};

use crate::app::{App, AppState};
use crate::config::Config;
use crate::generations::{self, Consumer};
use crate::http::listen::Peer;
use crate::http::{Code, Error};
use crate::plan::routes::Front;

/// The route table has the front that the configuration asks for, or none.
pub async fn ensure(pool: &PgPool, config: &Config) -> anyhow::Result<()> {
    let wanted = config.front();
    let mut tx = pool.begin().await?;
    store::lock(&mut tx).await?;
    if store::find(&mut tx).await? != wanted {
        store::set(&mut tx, wanted.as_ref()).await?;
        generations::raise(&mut tx, Consumer::Routes).await?;
    }
    let shadowed = match &wanted {
        Some(front) => store::app_at(&mut tx, &front.host).await?,
        None => None,
    };
    tx.commit().await?;
    if let Some(Front { host, upstream }) = &wanted {
        info!(host, %upstream, "proxies serve the dashboard");
    }
    if let Some(app) = shadowed {
        warn!(
            app,
            "this app's host is now the dashboard's: proxies serve the dashboard there, and the app nowhere"
        );
    }
    Ok(())
}

/// Mesh addresses of the fleet's proxies, as this replica last read them.
#[derive(Debug, Default)]
pub struct Proxies(RwLock<HashSet<Ipv4Addr>>);

impl Proxies {
    pub fn replace(&self, addresses: HashSet<Ipv4Addr>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    fn contains(&self, address: Ipv4Addr) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&address)
    }
}

/// Lets proxies in and nobody else, and takes their word for where a request comes from.
pub async fn layer(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().map(|peer| peer.0.ip().to_canonical()) else {
        return refuse(&app).into_response();
    };
    if !is_proxy(&app, peer) {
        return refuse(&app).into_response();
    }
    let client = client(request.headers()).unwrap_or(peer);
    request.extensions_mut().insert(Peer(SocketAddr::new(client, 0)));
    next.run(request).await
}

/// A node with the role, or something on this host: its own proxy dials from the very address that it dials to.
fn is_proxy(app: &App, peer: IpAddr) -> bool {
    match peer {
        IpAddr::V4(peer) => {
            peer.is_loopback() || peer == app.config.mesh.address || app.proxies.contains(peer)
        }
        IpAddr::V6(peer) => peer.is_loopback(),
    }
}

/// The last address of the list is the proxy's own observation; whatever is before it, the client may have written.
fn client(headers: &HeaderMap) -> Option<IpAddr> {
    let line = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    let last: IpAddr = line.rsplit(',').next()?.trim().parse().ok()?;
    Some(last.to_canonical())
}

fn refuse(app: &App) -> Error {
    Error::new(Code::Forbidden, "only the fleet's proxies may use this address")
        .hint(format!("Use {}", app.config.api_server.base_url))
}
