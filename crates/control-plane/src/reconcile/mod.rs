//! Background work: what must stay true. Each reconciler takes no input, is woken by changes and by the clock, and
//! looks at the tables alone.

mod after;
pub mod certificates;
pub mod dispatch_jobs;
mod dispatch_network;
pub mod dispatch_questions;
pub mod dispatch_specs;
pub mod dns_challenges;
pub mod domains;
pub mod healing;
pub mod images;
pub mod imported_certificates;
pub mod jobs;
pub mod known_proxies;
mod leader;
pub mod mesh_keys;
pub mod mesh_relays;
pub mod moves;
pub mod network;
pub mod node_health;
pub mod node_numbers;
pub mod notices;
pub mod presence;
pub mod renewals;
pub mod retention;
pub mod rollouts;
mod stops;
pub mod traffic;

use std::time::Duration;

use anyhow::Context;
use daemon::lifecycle::Lifecycle;
use daemon::reconcile::{Activator, Reconciler, StatusCell, drive};

use crate::app::AppState;
use crate::bus::Topic;
use crate::census::Census;
use crate::nodes::declared;
use dispatch_specs::{DispatchSpecs, Part};
use leader::Leader;

/// Starts all reconcilers of a control plane.
pub fn tasks(app: &AppState, lifecycle: &mut Lifecycle) {
    let leader = Leader::default();
    let stop = lifecycle.stopping();
    lifecycle.spawn("leader", leader.clone().run(app.clone(), stop.clone()));
    lifecycle.spawn("own node", declared::own_node(app.clone(), stop));
    let mut start = Start { app, lifecycle, wakes: Vec::new() };
    // Every replica, for its own connections.
    let seconds = Duration::from_secs;
    for part in [Part::Others, Part::Routes] {
        start.one(DispatchSpecs::new(app.clone(), part), seconds(5), &[Topic::Generations]);
    }
    start.one(dispatch_jobs::DispatchJobs(app.clone()), seconds(5), &[Topic::Jobs]);
    start.one(dispatch_questions::DispatchQuestions(app.clone()), seconds(5), &[Topic::Questions]);
    start.one(node_numbers::NodeMinutes(app.clone()), seconds(10), &[]);
    start.one(presence::Presence(app.clone()), seconds(15), &[]);
    start.one(Census(app.clone()), seconds(15), &[]);
    if app.config.api_server.front_listen.is_some() {
        start.one(known_proxies::KnownProxies(app.clone()), seconds(15), &[Topic::Nodes]);
    }
    // One replica for all.
    let wakes = [Topic::Instances, Topic::Deployments, Topic::Nodes, Topic::Jobs];
    start.one(leader.only(rollouts::Rollouts(app.clone())), seconds(2), &wakes);
    start.one(leader.only(moves::Moves(app.clone())), seconds(2), &wakes);
    start.one(leader.only(network::Network(app.clone())), seconds(2), &[Topic::Instances]);
    start.one(leader.only(healing::Healing::new(app.clone())), seconds(5), &[Topic::Nodes]);
    start.one(leader.only(mesh_relays::MeshRelays(app.clone())), seconds(2), &[Topic::Mesh]);
    start.one(leader.only(mesh_keys::MeshKeys(app.clone())), seconds(5), &[Topic::Mesh]);
    start.one(leader.only(jobs::Jobs::new(app.clone())), seconds(15), &[]);
    let often = seconds(app.config.node_health.check_intervals_s[0].min(5).into());
    start.one(leader.only(node_health::NodeHealth(app.clone())), often, &[]);
    // Nodes: the first proxy came, and can order the dashboard's.
    let wakes = [Topic::Certificates, Topic::Deployments, Topic::Nodes];
    start.one(leader.only(certificates::Certificates(app.clone())), seconds(30), &wakes);
    start.one(leader.only(domains::Domains(app.clone())), seconds(5), &[Topic::Domains]);
    let wakes = [Topic::Certificates, Topic::Deployments];
    start.one(leader.only(imported_certificates::ImportedCertificates(app.clone())), seconds(60), &wakes);
    start.one(leader.only(notices::Notices(app.clone())), seconds(60), &[Topic::Certificates]);
    start.one(leader.only(renewals::Renewals(app.clone())), seconds(60), &[Topic::Certificates]);
    start.one(leader.only(dns_challenges::DnsChallenges(app.clone())), seconds(30), &[Topic::Jobs]);
    let wakes = [Topic::Deployments, Topic::Nodes];
    start.one(leader.only(images::Images(app.clone())), seconds(15), &wakes);
    start.one(leader.only(retention::Retention(app.clone())), seconds(600), &[]);
    start.one(leader.only(node_numbers::NodeHours(app.clone())), seconds(300), &[]);
    start.one(leader.only(traffic::Traffic(app.clone())), seconds(300), &[]);
    let wakes = std::mem::take(&mut start.wakes);
    let stop = lifecycle.stopping();
    lifecycle.spawn("wakes", wake(app.clone(), wakes, stop.clone()));
    lifecycle.spawn("presence end", presence::end(app.clone(), stop));
}

struct Start<'a> {
    app: &'a AppState,
    lifecycle: &'a mut Lifecycle,
    wakes: Vec<(Vec<Topic>, Activator)>,
}

impl Start<'_> {
    fn one(&mut self, reconciler: impl Reconciler + 'static, period: Duration, topics: &[Topic]) {
        let activator = Activator::new();
        self.wakes.push((topics.to_vec(), activator.clone()));
        let status = StatusCell::default();
        self.app.note_reconciler(reconciler.name(), status.clone());
        let stop = self.lifecycle.stopping();
        let name = reconciler.name();
        self.lifecycle.spawn(name, drive(Bounded(reconciler), activator, period, status, stop));
    }
}

/// A pass that takes longer waits for a Postgres that is gone without a word, and would wait for as long as TCP does.
const PASS: Duration = Duration::from_mins(2);

/// Passes that end.
struct Bounded<R>(R);

impl<R: Reconciler> Reconciler for Bounded<R> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        tokio::time::timeout(PASS, self.0.pass()).await.context("Postgres was waited for too long")?
    }

    fn rest(&self) -> Duration {
        self.0.rest()
    }
}

/// Turns changes into signals.
async fn wake(
    app: AppState,
    wakes: Vec<(Vec<Topic>, Activator)>,
    stop: tokio_util::sync::CancellationToken,
) -> anyhow::Result<()> {
    let mut changes = app.bus.listen();
    while let Some(Some(change)) = stop.run_until_cancelled(changes.next()).await {
        for (topics, activator) in &wakes {
            if topics.contains(&change.topic) || change.topic == Topic::Resync {
                activator.signal();
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
