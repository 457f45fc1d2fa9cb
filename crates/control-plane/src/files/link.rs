//! The way from the control plane to a worker: requests over the mesh, each with a ticket.

use std::time::Duration;

use anyhow::Context;
use axum::http::StatusCode;
use chrono::Utc;
use protocol::files::{FilesTicket, Way};
use reqwest::{Method, RequestBuilder};

use super::Place;
use crate::app::App;
use crate::apps::instances::Instance;
use crate::http::{Code, Error, Result};
use crate::nodes;
use crate::nodes::health::breaker;

/// For one copy, however large.
const COPY: Duration = Duration::from_hours(1);
const CONNECT: Duration = Duration::from_secs(5);
/// Seconds that a ticket is good for.
const TICKET_S: i64 = 60;

/// A path of an instance that was found.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) app: String,
    pub(super) instance: Instance,
    pub(super) path: String,
}

impl Target {
    pub(super) fn new(app: String, instance: Instance, place: Place) -> Self {
        Self { app, instance, path: place.path }
    }

    /// Takes or gives the files at `/files`; `/files/kind` tells what is there.
    pub(super) async fn request(&self, app: &App, way: Way, end: &str) -> Result<RequestBuilder> {
        let instance = self.instance.id;
        let mut conn = app.db.acquire().await?;
        breaker::admit(app, &mut conn, self.instance.node.id).await?;
        let node = nodes::store::known(&mut conn, self.instance.node.id).await?;
        drop(conn);
        let node =
            node.ok_or_else(|| Error::not_found(format!("node {} any more", self.instance.node.name)))?;
        let sealed = node.signing_key.context("the node has no API key")?;
        let key = nodes::signing::open(&app.vault, node.id, &sealed)?;
        let address = format!("http://{}/v1/instances/{instance}{end}", node.worker_address);
        let mut url = url::Url::parse(&address).context("an address of ours")?;
        url.query_pairs_mut().append_pair("path", &self.path);
        // Without a limit on silence, which a long way in would reach.
        let client = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(COPY)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("cannot make an HTTP client")?;
        let method = match way {
            Way::Out => Method::GET,
            Way::In => Method::PUT,
        };
        let ticket = FilesTicket { instance, way, path: &self.path };
        let bearer = ticket.seal(Utc::now().timestamp() + TICKET_S, &key);
        Ok(client.request(method, url).bearer_auth(bearer))
    }

    /// The worker's answer, if it is a success.
    pub(super) async fn check(
        &self,
        app: &App,
        answer: reqwest::Result<reqwest::Response>,
    ) -> Result<reqwest::Response> {
        let node = &self.instance.node.name;
        app.breakers.record(self.instance.node.id, !answer.as_ref().is_err_and(reqwest::Error::is_connect));
        let answer = answer.map_err(|error| {
            tracing::warn!(node.name = node, error = %error, "a copy failed");
            Error::new(Code::Unavailable, format!("the copy from or to {node} broke off"))
                .hint("`wh node ls` shows whether it is online")
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let said = answer.text().await.unwrap_or_default();
        let Self { app, path, .. } = self;
        Err(match status {
            StatusCode::NOT_FOUND => Error::not_found(format!("{path} in the instance of {app} on {node}"))
                .field("path")
                .hint(format!("`wh exec {app} -- ls` shows what is there")),
            StatusCode::CONFLICT => Error::new(Code::NotRunning, format!("{said}: {app} on {node}"))
                .hint("`wh ps` shows the ones that run"),
            StatusCode::UNPROCESSABLE_ENTITY => Error::invalid("path", format!("{path} of {app}: {said}")),
            StatusCode::SERVICE_UNAVAILABLE => {
                Error::new(Code::TooMany, format!("{node} has too many copies under way"))
                    .hint("Try again in a moment")
            }
            _ => Error::new(Code::Unavailable, format!("{node} cannot copy: {said}"))
                .hint("Look at the worker's log"),
        })
    }
}
