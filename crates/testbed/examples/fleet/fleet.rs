//! All agents and all apps.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use protocol::enrol::{EnrolRequest, Joined};
use protocol::identity::{AgentKind, NodeIdentity, Role};
use protocol::message::FromAgent;
use reqwest::Client;
use serde_json::{Value, json};
use testbed::report::until;

use crate::agent::Connected;
use crate::plane::{Plane, public_key, text};

/// As many as a fleet of any size has.
const PROXIES: usize = 2;
/// Apps of one project, which reach each other: as many as a large product has.
const PER_PROJECT: usize = 20;
/// Apps that are deployed at the same time: at most as many as are measured.
const BATCH: usize = crate::PLACED;
/// Calls of the API at the same time.
const CALLS: usize = 16;
/// For everything that is waited for.
const LIMIT: Duration = Duration::from_mins(15);

pub(crate) struct Fleet<'a> {
    plane: &'a Plane,
    nodes: Vec<(NodeIdentity, AgentKind)>,
    connected: Vec<Connected>,
    apps: usize,
}

impl<'a> Fleet<'a> {
    pub(crate) fn new(plane: &'a Plane) -> Self {
        Self { plane, nodes: Vec::new(), connected: Vec::new(), apps: 0 }
    }

    /// Lets hosts join by tokens until there are `agents`.
    pub(crate) async fn join(&mut self, agents: usize) -> Result<()> {
        let plane = self.plane;
        let new: Vec<_> = stream::iter(self.nodes.len()..agents)
            .map(|number| async move { join(plane, number).await.with_context(|| format!("node {number}")) })
            .buffered(CALLS)
            .try_collect()
            .await?;
        self.nodes.extend(new);
        Ok(())
    }

    /// Connects every agent, and waits until each has its desired state and is known to be there.
    pub(crate) async fn connect(&mut self) -> Result<()> {
        let missing = &self.nodes[self.connected.len()..];
        let new: Result<Vec<_>> = missing.iter().map(|(node, kind)| Connected::new(node, *kind)).collect();
        self.connected.extend(new?);
        let all = self.connected.iter();
        until("every agent's desired state", LIMIT, || async {
            let without = all.clone().filter(|agent| !agent.told.spec.load(Ordering::Relaxed)).count();
            ensure!(without == 0, "{without} agents have none yet");
            Ok(Some(()))
        })
        .await
    }

    /// Ends all connections.
    pub(crate) async fn disconnect(&mut self) {
        let ends = self.connected.drain(..).map(Connected::end);
        stream::iter(ends).for_each_concurrent(None, |end| end).await;
    }

    /// Makes and deploys apps until there are `apps`, some at a time, and the proxies have a route to each.
    pub(crate) async fn deploy(&mut self, apps: usize) -> Result<()> {
        let plane = self.plane;
        for number in self.apps.div_ceil(PER_PROJECT)..apps.div_ceil(PER_PROJECT) {
            plane.post("/projects", &json!({ "slug": project(number) })).await?;
        }
        while self.apps < apps {
            let batch = (self.apps + BATCH).min(apps);
            stream::iter(self.apps..batch)
                .map(|number| deploy(plane, number))
                .buffer_unordered(CALLS)
                .try_collect::<()>()
                .await?;
            self.routed(batch).await?;
            self.apps = batch;
        }
        Ok(())
    }

    /// Waits until the proxies have a route to each of the first `apps`.
    async fn routed(&self, apps: usize) -> Result<()> {
        until("a route to every app", LIMIT, || async {
            let routed =
                self.connected[..PROXIES].iter().map(|proxy| proxy.told.routes.load(Ordering::Relaxed));
            let least = routed.min().unwrap_or_default();
            ensure!(least >= apps, "{least} of {apps} have one");
            Ok(Some(()))
        })
        .await
    }

    /// Waits until no deployment is under way: an app has its route before its deployment is done.
    pub(crate) async fn settled(&self) -> Result<()> {
        until("the end of every deployment", LIMIT, || async {
            let done = self.plane.live_deployments().await?;
            ensure!(done >= self.apps, "{done} of {} are live", self.apps);
            Ok(Some(()))
        })
        .await
    }

    /// One more heartbeat of every agent, and the numbers that its host tells.
    pub(crate) async fn beat(&self) {
        let beat = node::facts::heartbeat();
        let numbers = node::facts::numbers::Meter::default().read();
        for agent in &self.connected {
            // Err only after the end of the link, which ends with the fleet.
            let _ = agent.link.send(FromAgent::Heartbeat(beat.clone())).await;
            let _ = agent.link.send(FromAgent::Numbers(numbers.clone())).await;
        }
    }
}

async fn join(plane: &Plane, number: usize) -> Result<(NodeIdentity, AgentKind)> {
    let (name, role, kind) = if number < PROXIES {
        (format!("proxy-{number}"), Role::Proxy, AgentKind::Proxy)
    } else {
        (format!("worker-{number}"), Role::Worker, AgentKind::Worker)
    };
    let token = plane.post("/node-tokens", &json!({ "roles": [role] })).await?;
    let request = EnrolRequest {
        name,
        roles: vec![role],
        public_key: public_key(),
        endpoint: None,
        labels: protocol::labels::Labels::default(),
        zone: None,
    };
    // Every host has an address of its own, as the limit of attempts expects.
    let number = u32::try_from(number)?;
    let own = IpAddr::V4(Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + number));
    let client = Client::builder().local_address(own).build()?;
    let answer = client
        .post(format!("{}/v1/nodes/enroll", plane.base_url()))
        .bearer_auth(text(&token, "token")?)
        .json(&request)
        .send()
        .await?;
    let status = answer.status();
    let body = answer.text().await?;
    ensure!(status.is_success(), "{status}: {body}");
    let joined: Joined = serde_json::from_str(&body)?;
    let control_planes = vec![format!("http://{}", plane.hub)];
    Ok((NodeIdentity { control_planes, ..joined.identity }, kind))
}

fn project(number: usize) -> String {
    format!("project-{number}")
}

async fn deploy(plane: &Plane, number: usize) -> Result<()> {
    let slug = format!("app-{number}");
    let resources = json!({ "memory_mb": 128, "cpu_millis": 100, "pids": 64 });
    let app = json!({
        "slug": slug, "project": project(number / PER_PROJECT), "port": 8080, "resources": resources,
    });
    plane.post("/apps", &app).await?;
    let image: Value = json!({ "source": { "type": "image", "reference": "registry.example.com/app:1" } });
    plane.post(&format!("/apps/{slug}/deployments"), &image).await?;
    Ok(())
}
