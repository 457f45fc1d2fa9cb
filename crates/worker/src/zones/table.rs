//! What the worker answers for: on disk, and in force.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use ingress::Gateway;
use node::ledger::Ledger;
use protocol::spec::{Generation, ProxySpec, Versioned};
use tokio::sync::watch;
use tracing::{info, warn};

/// The last table; see [`Ledger`].
pub const FILE: &str = "zones.json";

pub(super) struct Table {
    gateway: Arc<Gateway>,
    held: Mutex<Held>,
    /// Whether there is anything to answer for.
    wanted: watch::Sender<bool>,
}

struct Held {
    ledger: Ledger<ProxySpec>,
    /// What is served: another one than on disk after that could not be written.
    in_force: Generation,
}

/// What became of an offered table.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    InForce(Generation),
    /// The table in force is newer.
    Old,
    /// Nothing of it can be served; the last good one stays.
    Bad,
}

impl Table {
    /// Serves the last table that `folder` knows.
    pub(super) fn restore(gateway: Arc<Gateway>, folder: &Path) -> anyhow::Result<Self> {
        let ledger: Ledger<ProxySpec> = Ledger::load(folder.join(FILE))
            .with_context(|| format!("the routes in {} cannot be read", folder.display()))?;
        let last = ledger.current().map(|last| last.spec.clone()).unwrap_or_default();
        for problem in gateway.apply(&last) {
            warn!(%problem, "left out of the routes of the zones");
        }
        let wanted = watch::channel(gateway.counts().0 > 0).0;
        let held = Mutex::new(Held { in_force: ledger.generation(), ledger });
        Ok(Self { gateway, held, wanted })
    }

    /// Of the table on disk.
    pub(super) fn generation(&self) -> Generation {
        self.held().ledger.generation()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells when there is something to answer for, and when no longer.
    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.wanted.subscribe()
    }

    /// Takes `offered` if it counts. An error means that it could not be written: it is served, but must not be
    /// acknowledged; the same one may be offered again. What is not acknowledged stops nothing that the table on disk
    /// names, so a crash before the disk has it does no harm. Blocks for the disk.
    pub(super) fn take(&self, offered: Versioned<ProxySpec>, first: bool) -> anyhow::Result<Taken> {
        let mut held = self.held();
        let generation = offered.generation;
        let takes = held.ledger.takes(generation, first);
        if !takes && generation != held.ledger.generation() {
            return Ok(Taken::Old);
        }
        if !takes && generation == held.in_force {
            return Ok(Taken::InForce(generation));
        }
        let prepared = self.gateway.prepare(&offered.spec);
        for problem in prepared.problems.iter().take(20) {
            warn!(%problem, "left out of the routes of the zones");
        }
        let hosts = prepared.hosts();
        if hosts == 0 && !offered.spec.routes.is_empty() {
            warn!(generation, "no route of the new table can be served: those before it stay in force");
            return Ok(Taken::Bad);
        }
        let _replaced = self.gateway.swap(prepared);
        held.in_force = generation;
        let before = *self.wanted.borrow();
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, hosts > 0) != (hosts > 0));
        if takes {
            held.ledger.store(offered).context("`state_dir` cannot be written")?;
        }
        if hosts > 0 || before {
            info!(generation, hosts, "routes of the zones in force");
        }
        Ok(Taken::InForce(generation))
    }
}

#[cfg(test)]
mod tests {
    use protocol::spec::Route;

    use super::*;

    fn spec(generation: Generation, hosts: &[&str]) -> Versioned<ProxySpec> {
        let route = |host: &&str| Route {
            id: (*host).to_owned(),
            app: (*host).to_owned(),
            hosts: vec![(*host).to_owned()],
            path: "/".to_owned(),
            upstreams: vec![],
            https_only: false,
            options: Box::default(),
            unavailable: None,
        };
        let routes = hosts.iter().map(route).map(Into::into).collect();
        Versioned { generation, spec: ProxySpec { routes, ..ProxySpec::default() } }
    }

    fn table(folder: &Path) -> Table {
        Table::restore(Gateway::new(ingress::Options::default()), folder).expect("ledger")
    }

    #[test]
    fn what_was_taken_is_served_after_a_restart_and_wants_a_listener_only_while_it_has_hosts() {
        let folder = tempfile::tempdir().expect("temp dir");
        let first = table(folder.path());
        let wanted = first.watch();
        assert!(!*wanted.borrow());
        assert_eq!(first.take(spec(4, &["a.test"]), true).expect("disk"), Taken::InForce(4));
        assert!(*wanted.borrow());
        let again = table(folder.path());
        assert_eq!((again.generation(), *again.watch().borrow()), (4, true));
        assert_eq!(again.take(spec(5, &[]), false).expect("disk"), Taken::InForce(5));
        assert!(!*again.watch().borrow());
    }

    #[test]
    fn older_and_bad_tables_leave_the_last_good_one_in_force_and_the_same_one_is_acknowledged() {
        let folder = tempfile::tempdir().expect("temp dir");
        let table = table(folder.path());
        table.take(spec(4, &["a.test"]), true).expect("disk");
        assert_eq!(table.take(spec(3, &["b.test"]), false).expect("disk"), Taken::Old);
        assert_eq!(table.take(spec(5, &["NOT A HOST"]), false).expect("disk"), Taken::Bad);
        assert_eq!(table.take(spec(4, &["a.test"]), false).expect("disk"), Taken::InForce(4));
        assert_eq!((table.generation(), table.gateway.counts().0), (4, 1));
    }

    #[test]
    fn a_table_that_cannot_be_written_is_answered_for_but_not_acknowledged_until_it_is() {
        let folder = tempfile::tempdir().expect("temp dir");
        let gone = folder.path().join("gone");
        let table = table(&gone);
        table.take(spec(4, &["a.test"]), false).expect_err("no folder");
        assert_eq!((table.generation(), table.gateway.counts().0), (0, 1));
        assert!(*table.watch().borrow());
        std::fs::create_dir(gone).expect("folder");
        assert_eq!(table.take(spec(4, &["a.test"]), false).expect("disk"), Taken::InForce(4));
        assert_eq!(table.generation(), 4);
    }

    #[test]
    fn the_table_on_disk_is_served_again_when_it_is_offered_after_one_that_could_not_be_written() {
        let folder = tempfile::tempdir().expect("temp dir");
        let (there, away) = (folder.path().join("there"), folder.path().join("away"));
        std::fs::create_dir(&there).expect("folder");
        let table = table(&there);
        let four = || spec(4, &["a.test", "b.test"]);
        table.take(four(), true).expect("disk");
        std::fs::rename(&there, away).expect("rename");
        table.take(spec(5, &[]), false).expect_err("no folder");
        assert_eq!((table.gateway.counts().0, *table.watch().borrow()), (0, false));
        assert_eq!(table.take(four(), true).expect("nothing to write"), Taken::InForce(4));
        assert_eq!((table.gateway.counts().0, *table.watch().borrow()), (2, true));
    }
}
