//! From a pushed spec to what is served: in force first, then on disk, then acknowledged.
//!
//! Visitors need not wait for the disk, because what is in force and not on disk yet is not acknowledged either: until
//! it is, nothing that the table on disk names is stopped. After a crash in between that table is served, as if the
//! new one had come a moment later, and the control plane sends the new one again.

use std::borrow::Cow;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use daemon::seal::SealKey;
use ingress::Gateway;
use protocol::spec::{Generation, ProxySpec, Versioned};
use protocol::stream::StreamProblem;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::cache::Cache;
use crate::engine::Traefik;

/// The spec in force, in memory and on disk.
#[derive(Debug)]
pub(crate) struct Routing {
    /// Serves the public, or behind Traefik the challenges that Traefik sends on and the pages of apps that cannot answer.
    gateway: Arc<Gateway>,
    traefik: Option<Traefik>,
    held: Mutex<Held>,
    /// What is being served, as far as this process knows: behind Traefik 0 until Traefik shows it.
    generation: AtomicI64,
}

#[derive(Debug)]
struct Held {
    cache: Cache,
    /// What the gateway serves: another one than on disk after that could not be written.
    in_force: Generation,
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
    /// Serves the last spec that `folder` knows; without its certificates until [`Routing::unlock`] if there is no
    /// `key` yet.
    pub(crate) fn restore(
        gateway: Arc<Gateway>,
        traefik: Option<Traefik>,
        folder: &Path,
        key: Option<SealKey>,
        former: Option<SealKey>,
    ) -> anyhow::Result<Self> {
        let cache = Cache::load(folder, key, former)
            .with_context(|| format!("the routes in {} cannot be read", folder.display()))?;
        let held = Mutex::new(Held { cache, in_force: 0 });
        let routing = Self { gateway, traefik, held, generation: AtomicI64::new(0) };
        routing.serve_cached(&mut routing.held())?;
        Ok(routing)
    }

    /// Takes the key of this host's identity, and serves the certificates that waited for it. Blocks for the disk.
    pub(crate) fn unlock(&self, key: SealKey) -> anyhow::Result<()> {
        let mut held = self.held();
        let locked = held.cache.is_locked();
        held.cache.unlock(key)?;
        if locked { self.serve_cached(&mut held) } else { Ok(()) }
    }

    fn serve_cached(&self, Held { cache, in_force }: &mut Held) -> anyhow::Result<()> {
        let table = cache.table();
        let nothing = ProxySpec::default();
        let spec = table.unwrap_or(&nothing);
        report(&self.gateway.apply(&own(spec, self.traefik.as_ref())));
        *in_force = cache.generation();
        match &self.traefik {
            Some(traefik) => traefik.write(&self.gateway.servable(spec))?,
            None => self.generation.store(cache.generation(), Ordering::Relaxed),
        }
        if cache.is_locked() {
            warn!("the certificates on disk wait for this host's identity; until then HTTPS is not served");
        }
        if table.is_some() {
            let (hosts, certificates) = self.gateway.counts();
            info!(generation = cache.generation(), hosts, certificates, "serving the routes on disk");
        }
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What carries the requests.
    pub(crate) fn engine(&self) -> &'static str {
        if self.traefik.is_some() { "traefik" } else { "builtin" }
    }

    /// Which routes visitors get while the newest ones cannot be written.
    pub(crate) fn served_unwritten(&self) -> &'static str {
        if self.traefik.is_some() { "those before" } else { "the new ones" }
    }

    /// What of the spec's streams is not served.
    pub(crate) fn stream_problems(&self) -> watch::Receiver<Vec<StreamProblem>> {
        self.gateway.stream_problems()
    }

    /// The spec that is being served for certain.
    pub(crate) fn generation(&self) -> Generation {
        self.generation.load(Ordering::Relaxed)
    }

    /// Takes `offered` if it counts. An error means that it could not be written and must not be acknowledged; the same
    /// one may be offered again. The gateway serves it already; Traefik serves what it did before. Blocks for the disk.
    pub(crate) fn take(&self, offered: &Versioned<ProxySpec>, first: bool) -> anyhow::Result<Taken> {
        let mut held = self.held();
        let Held { cache, in_force } = &mut *held;
        let generation = offered.generation;
        let takes = cache.takes(generation, first);
        if !takes && generation != cache.generation() {
            return Ok(Taken::Old);
        }
        if takes || generation != *in_force {
            let prepared = self.gateway.prepare(&own(&offered.spec, self.traefik.as_ref()));
            report(&prepared.problems);
            if prepared.hosts() == 0 && !offered.spec.routes.is_empty() {
                warn!(
                    generation,
                    "no route of the new spec can be served: the routes before it stay in force"
                );
                return Ok(Taken::Bad);
            }
            let _replaced = self.gateway.swap(prepared);
            *in_force = generation;
            if takes {
                cache.store(offered.clone()).context("`state_dir` cannot be written")?;
            }
        }
        match &self.traefik {
            Some(traefik) => {
                let table = cache.table().cloned().unwrap_or_default();
                traefik.write(&self.gateway.servable(&table))?;
            }
            None => self.note(generation),
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

/// What of `spec` this process answers itself.
fn own<'a>(spec: &'a ProxySpec, traefik: Option<&Traefik>) -> Cow<'a, ProxySpec> {
    match traefik {
        Some(_) => Cow::Owned(traefik::file::behind(spec)),
        None => Cow::Borrowed(spec),
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
        Versioned { generation, spec: ProxySpec { routes: vec![route.into()], ..ProxySpec::default() } }
    }

    fn routing(folder: &Path) -> Routing {
        let key = SealKey::derive("a host's", "test");
        Routing::restore(Gateway::new(ingress::Options::default()), None, folder, Some(key), None)
            .expect("cache")
    }

    #[test]
    fn what_was_taken_is_served_again_after_a_restart_and_is_private() {
        let folder = tempfile::tempdir().expect("temp dir");
        assert_eq!(routing(folder.path()).take(&spec(4, "a.test"), false).expect("disk"), Taken::InForce(4));
        let again = routing(folder.path());
        assert_eq!((again.generation(), again.gateway.counts().0), (4, 1));
        let mode = folder.path().join("routes.json").metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn older_and_bad_specs_leave_the_last_good_one_in_force_and_the_same_one_is_acknowledged() {
        let folder = tempfile::tempdir().expect("temp dir");
        let routing = routing(folder.path());
        routing.take(&spec(4, "a.test"), false).expect("disk");
        assert_eq!(routing.take(&spec(3, "b.test"), false).expect("disk"), Taken::Old);
        assert_eq!(routing.take(&spec(5, "NOT A HOST"), false).expect("disk"), Taken::Bad);
        assert_eq!(routing.take(&spec(4, "a.test"), true).expect("disk"), Taken::InForce(4));
        assert_eq!((routing.generation(), routing.gateway.counts().0), (4, 1));
        assert_eq!(routing.take(&spec(2, "b.test"), true).expect("disk"), Taken::InForce(2));
    }

    #[test]
    fn a_spec_that_cannot_be_written_is_served_but_not_acknowledged_until_it_is() {
        let folder = tempfile::tempdir().expect("temp dir");
        let gone = folder.path().join("gone");
        let routing = routing(&gone);
        routing.take(&spec(4, "a.test"), false).expect_err("no folder");
        assert_eq!((routing.generation(), routing.gateway.counts().0), (0, 1));
        std::fs::create_dir(gone).expect("folder");
        assert_eq!(routing.take(&spec(4, "a.test"), false).expect("disk"), Taken::InForce(4));
        assert_eq!(routing.generation(), 4);
    }

    #[test]
    fn the_spec_on_disk_is_served_again_when_it_is_offered_after_one_that_could_not_be_written() {
        let folder = tempfile::tempdir().expect("temp dir");
        let (there, away) = (folder.path().join("there"), folder.path().join("away"));
        std::fs::create_dir(&there).expect("folder");
        let routing = routing(&there);
        let mut four = spec(4, "a.test");
        four.spec.routes.extend(spec(4, "b.test").spec.routes);
        routing.take(&four, true).expect("disk");
        std::fs::rename(&there, away).expect("rename");
        routing.take(&spec(5, "c.test"), false).expect_err("no folder");
        assert_eq!(routing.gateway.counts().0, 1);
        assert_eq!(routing.take(&four, true).expect("nothing to write"), Taken::InForce(4));
        assert_eq!((routing.generation(), routing.gateway.counts().0), (4, 2));
    }
}
