//! The private network: an app reaches the apps of its project by name, on whichever node they run, and those of another
//! project if that was granted. Each project has a bridge of its own here; [`rules`] says what the kernel does with
//! packets from it, and [`names`] answers its containers' questions. Both outlive the agent, and neither asks anybody
//! else: what was last said by the control plane is on disk.

mod examine;
pub mod names;
mod resolver;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use protocol::ids::InstanceId;
use protocol::spec::{Generation, PrivateSpec, WorkerSpec};
use tokio::sync::{Mutex, watch};
use tracing::warn;

use crate::bridges;
use crate::guard::Guard;
use crate::instances::label;
use crate::podman::{Error, Listed, Network as PodmanNetwork, NewNetwork, Podman};
pub(crate) use examine::Examiner;
use names::{Table, Zone};
use resolver::Resolver;
pub(crate) use resolver::stop;
pub(crate) use rules::{INTERFACES, Rules};

/// The network that containers of a project are put into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bridge {
    pub(crate) network: String,
    /// Where its containers ask for names; absent where Podman itself answers them.
    pub(crate) resolver: Option<Ipv4Addr>,
}

/// Why a container has no network yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotOpen {
    #[error(transparent)]
    Podman(#[from] Error),
    #[error("the control plane has not said yet what the project may reach")]
    Unknown,
    #[error("{0:#}")]
    Guard(anyhow::Error),
}

/// This host's part of the private network. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Network(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    podman: Podman,
    state: Mutex<State>,
    resolver: Mutex<Resolver>,
    in_force: watch::Sender<Generation>,
}

#[derive(Debug)]
struct State {
    guard: Guard,
    spec: Option<PrivateSpec>,
    generation: Generation,
    /// Instances that this host should run.
    here: BTreeSet<InstanceId>,
    running: BTreeMap<InstanceId, Running>,
    /// By project; absent until Podman was asked.
    bridges: Option<BTreeMap<String, Gateway>>,
}

/// A container that runs, and the address that it got at this start.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Running {
    container: String,
    started_at: i64,
    address: Ipv4Addr,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Gateway {
    interface: String,
    address: Ipv4Addr,
}

impl Network {
    /// `folder` is the one of the names, and `program` this program.
    pub fn new(podman: Podman, guard: Guard, folder: PathBuf, program: PathBuf) -> Self {
        let state = State {
            guard,
            spec: None,
            generation: 0,
            here: BTreeSet::new(),
            running: BTreeMap::new(),
            bridges: None,
        };
        Self(Arc::new(Shared {
            podman,
            state: Mutex::new(state),
            resolver: Mutex::new(Resolver::new(folder, program)),
            in_force: watch::channel(0).0,
        }))
    }

    /// The generation of the desired state whose rules are in force.
    pub fn in_force(&self) -> watch::Receiver<Generation> {
        self.0.in_force.subscribe()
    }

    /// Takes a new desired state. An error means that it is in force later, if at all.
    pub async fn take(&self, generation: Generation, spec: &WorkerSpec) -> anyhow::Result<()> {
        let mut state = self.0.state.lock().await;
        state.set(generation, spec);
        self.apply(&mut state).await
    }

    /// Takes the last desired state of an earlier agent, whose rules are still in force: what runs is looked at before
    /// they are replaced, so that no connection fails because of a restart.
    pub async fn resume(&self, generation: Generation, spec: &WorkerSpec) -> anyhow::Result<()> {
        self.0.state.lock().await.set(generation, spec);
        let listed = self.0.podman.containers(label::INSTANCE).await?;
        self.look(&listed).await
    }

    /// Takes note of the containers that run, which are all of ours.
    pub(crate) async fn look(&self, listed: &[Listed]) -> anyhow::Result<()> {
        let known = self.0.state.lock().await.running.clone();
        let mut running = BTreeMap::new();
        for container in listed.iter().filter(|container| container.state == "running") {
            let Some(id) = container.labels.get(label::INSTANCE).and_then(|id| id.parse().ok()) else {
                continue;
            };
            let same = |known: &&Running| {
                known.container == container.id && known.started_at == container.started_at
            };
            if let Some(known) = known.get(&id).filter(same) {
                running.insert(id, known.clone());
                continue;
            }
            // Another one is asked for at the next look.
            let address = match self.0.podman.inspect(&container.id).await {
                Ok(found) => found.network_settings.address(),
                Err(error) => {
                    warn!(instance.id = %id, %error, "cannot see the address of an instance");
                    None
                }
            };
            let (container, started_at) = (container.id.clone(), container.started_at);
            running.extend(address.map(|address| (id, Running { container, started_at, address })));
        }
        let unasked = self.0.state.lock().await.bridges.is_none();
        let found = if unasked { Some(self.bridges().await?) } else { None };
        let mut state = self.0.state.lock().await;
        let others = state.running != running;
        state.running = running;
        if let Some(found) = found {
            // One may have been opened since.
            let opened = state.bridges.take().unwrap_or_default();
            state.bridges = Some(found.into_iter().chain(opened).collect());
        }
        if others && let Err(error) = bridges::reflect(&state.interfaces()).await {
            warn!(error = format!("{error:#}"), "an instance may not reach its own app by name");
        }
        self.apply(&mut state).await
    }

    /// Makes sure that the rules are in force.
    pub(crate) async fn ensure(&self) -> anyhow::Result<()> {
        self.apply(&mut *self.0.state.lock().await).await
    }

    /// The network for a container of `project`, with all that guards it.
    pub(crate) async fn open(&self, project: &str) -> Result<Bridge, NotOpen> {
        {
            let state = self.0.state.lock().await;
            match &state.spec {
                // The control plane is older than the private network.
                None => {
                    drop(state);
                    let network = NewNetwork::bridge(shared_name(project));
                    self.0.podman.ensure_network(&network).await?;
                    return Ok(Bridge { network: network.name, resolver: None });
                }
                Some(spec) if spec.projects.iter().all(|known| known.project != project) => {
                    return Err(NotOpen::Unknown);
                }
                Some(_) => {}
            }
        }
        let wanted = NewNetwork::private(name(project), rules::interface(project), project);
        let found = self.0.podman.ensure_network(&wanted).await?;
        let gateway = gateway(&found);
        let mut state = self.0.state.lock().await;
        if let Some(gateway) = &gateway {
            let bridges = state.bridges.get_or_insert_default();
            bridges.insert(project.to_owned(), gateway.clone());
        }
        self.apply(&mut state).await.map_err(NotOpen::Guard)?;
        drop(state);
        Ok(Bridge { network: found.name, resolver: gateway.map(|gateway| gateway.address) })
    }

    async fn bridges(&self) -> Result<BTreeMap<String, Gateway>, Error> {
        let all = self.0.podman.networks_in_full(label::PROJECT).await?;
        let of =
            |network: &PodmanNetwork| Some((network.labels.get(label::PROJECT)?.clone(), gateway(network)?));
        Ok(all.iter().filter_map(of).collect())
    }

    /// The kernel first: a name that leads nowhere yet is worse than one that does not resolve yet.
    async fn apply(&self, state: &mut State) -> anyhow::Result<()> {
        let running = state.running.iter().map(|(id, running)| (*id, running.address)).collect();
        let rules = rules::rules(state.spec.as_ref(), &state.here, &running, &state.interfaces());
        state.guard.set_private(rules);
        state.guard.ensure().await?;
        let generation = state.generation;
        self.0.in_force.send_if_modified(|known| std::mem::replace(known, generation) != generation);
        // Before Podman was asked it is not known who asks.
        if state.spec.is_some() && state.bridges.is_some() {
            let table = state.table();
            if let Err(error) = self.0.resolver.lock().await.serve(&table).await {
                warn!(error = format!("{error:#}"), "containers may not find each other by name");
            }
        }
        Ok(())
    }
}

impl State {
    fn set(&mut self, generation: Generation, spec: &WorkerSpec) {
        self.generation = generation;
        self.spec.clone_from(&spec.private);
        self.here = spec.instances.iter().map(|instance| instance.id).collect();
    }

    fn interfaces(&self) -> BTreeSet<String> {
        self.bridges.iter().flatten().map(|(_, gateway)| gateway.interface.clone()).collect()
    }

    fn table(&self) -> Table {
        let projects = self.spec.iter().flat_map(|spec| &spec.projects);
        let zone = |project: &protocol::spec::private::PrivateProject| {
            let gateway = self.bridges.as_ref()?.get(&project.project)?;
            let names = project.services.iter().map(|service| (service.name.clone(), service.address));
            Some(Zone { listen: gateway.address, names: names.collect() })
        };
        Table { zones: projects.filter_map(zone).collect() }
    }
}

/// Organizations may give their projects the same name, so the id it is. No project has the network of builds.
fn name(project: &str) -> String {
    format!("wisehosting-private-{project}")
}

/// Of containers of the project: its present one, and the one that an older control plane gave it.
pub(crate) fn names_of(project: &str) -> [String; 2] {
    [name(project), shared_name(project)]
}

fn shared_name(project: &str) -> String {
    format!("wisehosting-project-{project}")
}

fn gateway(network: &PodmanNetwork) -> Option<Gateway> {
    let address = network.subnets.iter().find_map(|subnet| subnet.gateway.as_ref()?.parse().ok())?;
    Some(Gateway { interface: network.network_interface.clone(), address })
}
