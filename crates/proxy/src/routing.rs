//! From a pushed spec to what is served: on disk first, then in force, then acknowledged.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use ingress::Gateway;
use node::ledger::Ledger;
use protocol::spec::{Generation, ProxySpec, Versioned};
use tracing::{info, warn};

use crate::engine::Traefik;

/// Routes and certificates with their keys: readable by the owner alone.
const FILE: &str = "routes.json";

/// The spec in force, in memory and on disk.
#[derive(Debug)]
pub(crate) struct Routing {
    /// Serves the public, or behind Traefik the challenges that Traefik sends on.
    gateway: Arc<Gateway>,
    traefik: Option<Traefik>,
    ledger: Mutex<Ledger<ProxySpec>>,
    /// What is being served, as far as this process knows: behind Traefik 0 until Traefik shows it.
    generation: AtomicI64,
}

/// What became of an offered spec.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The spec of this generation counts; [`Routing::served`] returns when it is being served.
    InForce(Generation),
    /// The spec in force is newer.
    Old,
    /// Nothing of it can be served; the last good one stays.
    Bad,
}

impl Routing {
    /// Serves the last spec that `folder` knows.
    pub(crate) fn restore(
        gateway: Arc<Gateway>,
        traefik: Option<Traefik>,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let ledger: Ledger<ProxySpec> = Ledger::load(folder.join(FILE))
            .with_context(|| format!("the routes in {} cannot be read", folder.display()))?;
        let nothing = ProxySpec::default();
        let spec = ledger.current().map_or(&nothing, |last| &last.spec);
        report(&gateway.apply(spec));
        if let Some(traefik) = &traefik {
            traefik.write(&gateway.servable(spec))?;
        }
        if let Some(last) = ledger.current() {
            let (hosts, certificates) = gateway.counts();
            info!(generation = last.generation, hosts, certificates, "serving the routes on disk");
        }
        let generation = if traefik.is_none() { ledger.generation() } else { 0 };
        Ok(Self { gateway, traefik, ledger: Mutex::new(ledger), generation: AtomicI64::new(generation) })
    }

    /// The spec that is being served for certain.
    pub(crate) fn generation(&self) -> Generation {
        self.generation.load(Ordering::Relaxed)
    }

    /// Takes `offered` if it counts. An error means that it could not be written and is not served; the same one may
    /// be offered again. Blocks for the disk.
    pub(crate) fn take(&self, offered: Versioned<ProxySpec>, first: bool) -> anyhow::Result<Taken> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = offered.generation;
        if ledger.takes(generation, first) {
            let prepared = self.gateway.prepare(&offered.spec);
            report(&prepared.problems);
            if prepared.hosts() == 0 && !offered.spec.routes.is_empty() {
                warn!(
                    generation,
                    "no route of the new spec can be served: the routes before it stay in force"
                );
                return Ok(Taken::Bad);
            }
            ledger.store(offered).context("`state_dir` cannot be written")?;
            self.gateway.swap(prepared);
        } else if generation != ledger.generation() {
            return Ok(Taken::Old);
        }
        match (&self.traefik, ledger.current()) {
            (Some(traefik), Some(current)) => traefik.write(&self.gateway.servable(&current.spec))?,
            _ => self.note(generation),
        }
        Ok(Taken::InForce(generation))
    }

    /// Returns once `generation`, the last one that was taken, is being served. May be dropped and called again.
    pub(crate) async fn served(&self, generation: Generation) {
        if let Some(traefik) = &self.traefik {
            traefik.served().await;
            self.note(generation);
        }
    }

    fn note(&self, generation: Generation) {
        if self.generation.swap(generation, Ordering::Relaxed) != generation {
            let (hosts, certificates) = self.gateway.counts();
            info!(generation, hosts, certificates, "routes in force");
        }
    }
}

/// One line each, up to a number that a person reads.
fn report(problems: &[ingress::Problem]) {
    for problem in problems.iter().take(20) {
        warn!(%problem, "left out of the routes");
    }
    if problems.len() > 20 {
        warn!(more = problems.len() - 20, "left out of the routes, too");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use protocol::spec::Route;

    use super::*;

    fn spec(generation: Generation, host: &str) -> Versioned<ProxySpec> {
        let route = Route {
            id: host.to_owned(),
            app: host.to_owned(),
            hosts: vec![host.to_owned()],
            path: "/".to_owned(),
            upstreams: vec![],
            https_only: false,
            options: Box::default(),
            unavailable: None,
        };
        Versioned { generation, spec: ProxySpec { routes: vec![route], ..ProxySpec::default() } }
    }

    fn routing(folder: &Path) -> Routing {
        Routing::restore(Gateway::new(ingress::Options::default()), None, folder).expect("ledger")
    }

    #[test]
    fn what_was_taken_is_served_again_after_a_restart_and_is_private() {
        let folder = tempfile::tempdir().expect("temp dir");
        assert_eq!(routing(folder.path()).take(spec(4, "a.test"), false).expect("disk"), Taken::InForce(4));
        let again = routing(folder.path());
        assert_eq!((again.generation(), again.gateway.counts().0), (4, 1));
        let mode = folder.path().join(FILE).metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn older_and_bad_specs_leave_the_last_good_one_in_force_and_the_same_one_is_acknowledged() {
        let folder = tempfile::tempdir().expect("temp dir");
        let routing = routing(folder.path());
        routing.take(spec(4, "a.test"), false).expect("disk");
        assert_eq!(routing.take(spec(3, "b.test"), false).expect("disk"), Taken::Old);
        assert_eq!(routing.take(spec(5, "NOT A HOST"), false).expect("disk"), Taken::Bad);
        assert_eq!(routing.take(spec(4, "a.test"), true).expect("disk"), Taken::InForce(4));
        assert_eq!((routing.generation(), routing.gateway.counts().0), (4, 1));
        assert_eq!(routing.take(spec(2, "b.test"), true).expect("disk"), Taken::InForce(2));
    }

    #[test]
    fn a_spec_that_cannot_be_written_is_not_in_force() {
        let folder = tempfile::tempdir().expect("temp dir");
        let routing = routing(&folder.path().join("gone"));
        routing.take(spec(4, "a.test"), false).expect_err("no folder");
        assert_eq!((routing.generation(), routing.gateway.counts().0), (0, 0));
    }
}
