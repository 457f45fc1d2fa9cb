//! What a worker was told of the private network over its connection, as digests: with hundreds of workers that each see
//! hundreds of apps the whole of it would fill the memory. A change tells what is different, and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock};

use protocol::spec::PrivateSpec;
use protocol::spec::private::{Egress, PrivateProject, ProjectChange};

/// One for the process, with keys that nobody outside of it knows.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

fn digest(of: &impl Hash) -> u64 {
    HASHER.hash_one(of)
}

/// A project as its containers see the world, which all workers that have it are told alike.
#[derive(Debug)]
pub struct Seen {
    project: PrivateProject,
    digests: Arc<Digests>,
}

impl From<PrivateProject> for Seen {
    fn from(project: PrivateProject) -> Self {
        Self { digests: Arc::new(Digests::of(&project)), project }
    }
}

#[derive(Debug)]
struct Digests {
    services: BTreeMap<Ipv4Addr, u64>,
    egress: u64,
}

impl Digests {
    fn of(project: &PrivateProject) -> Self {
        let services = project.services.iter().map(|service| (service.address, digest(service)));
        Self { services: services.collect(), egress: digest(&project.egress) }
    }
}

/// By project.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<String, Arc<Digests>>);

impl Known {
    pub(super) fn of(spec: Option<&PrivateSpec>) -> Self {
        let projects = spec.into_iter().flat_map(|spec| &spec.projects);
        Self(projects.map(|project| (project.project.clone(), Arc::new(Digests::of(project)))).collect())
    }

    /// What is new in `projects`, which are all; they are known after that.
    pub(super) fn tell(&mut self, projects: &[Arc<Seen>]) -> Vec<ProjectChange> {
        let mut known = std::mem::take(&mut self.0);
        let told = projects.iter().map(|seen| {
            let before = known.remove(&seen.project.project);
            self.0.insert(seen.project.project.clone(), seen.digests.clone());
            change(before.as_deref(), seen)
        });
        told.collect()
    }
}

fn change(before: Option<&Digests>, seen: &Seen) -> ProjectChange {
    let Seen { project, digests } = seen;
    let known = |address| before.and_then(|before| before.services.get(address));
    let services = project.services.iter();
    let services = services.filter(|one| known(&one.address) != digests.services.get(&one.address));
    let addresses = before.into_iter().flat_map(|before| before.services.keys());
    let gone = addresses.filter(|address| !digests.services.contains_key(*address));
    let same_rules = before.is_some_and(|before| before.egress == digests.egress);
    ProjectChange {
        project: project.project.clone(),
        services: services.cloned().collect(),
        gone: gone.copied().collect(),
        egress: (!same_rules).then(|| Egress { rules: project.egress.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::ids::InstanceId;
    use protocol::spec::private::{Backend, EgressRule, PrivateChange, Service};

    use super::*;

    /// Of each app the number of its instances; and how many rules there are.
    type World = BTreeMap<String, (BTreeMap<u8, u8>, Option<u8>)>;

    fn service(address: u8, instances: u8) -> Service {
        let backend = |at| Backend {
            instance: InstanceId(uuid::Uuid::from_u128(u128::from(at))),
            address: ([10, 50, 0, at], 20000).into(),
            port: 8080,
            udp: false,
        };
        Service {
            name: format!("app-{address}.shop"),
            address: Ipv4Addr::new(100, 96, 0, address),
            backends: (0..instances).map(backend).collect(),
        }
    }

    fn spec(world: &World) -> PrivateSpec {
        let rule =
            |at| EgressRule { to: std::net::IpAddr::from([203, 0, 113, at]).into(), ports: Vec::new() };
        let project =
            |(name, (services, rules)): (&String, &(BTreeMap<u8, u8>, Option<u8>))| PrivateProject {
                project: name.clone(),
                services: services.iter().map(|(address, instances)| service(*address, *instances)).collect(),
                egress: rules.map(|count| (0..count).map(rule).collect()),
            };
        PrivateSpec { range: crate::network::RANGE, projects: world.iter().map(project).collect() }
    }

    fn seen(spec: &PrivateSpec) -> Vec<Arc<Seen>> {
        spec.projects.iter().map(|project| Arc::new(Seen::from(project.clone()))).collect()
    }

    fn sorted(mut spec: PrivateSpec) -> PrivateSpec {
        spec.projects.iter_mut().for_each(|project| project.services.sort_by_key(|one| one.address));
        spec
    }

    fn world() -> impl Strategy<Value = World> {
        let services = proptest::collection::btree_map(0..6_u8, 0..3_u8, 0..5);
        let project = (services, proptest::option::of(0..3_u8));
        proptest::collection::btree_map("[a-d]", project, 0..4)
    }

    proptest! {
        #[test]
        fn changes_one_after_the_other_make_of_the_first_state_what_the_last_one_is(
            first in world(), later in proptest::collection::vec(world(), 1..5),
        ) {
            let mut has = spec(&first);
            let mut known = Known::of(Some(&has));
            for next in later {
                let next = spec(&next);
                let change = PrivateChange { from: 1, generation: 2, projects: known.tell(&seen(&next)) };
                let text = serde_json::to_string(&change).expect("JSON");
                has = serde_json::from_str::<PrivateChange>(&text).expect("read").apply(&has);
                prop_assert_eq!(sorted(has.clone()), sorted(next));
            }
        }
    }

    #[test]
    fn one_app_of_a_large_project_is_little_to_tell() {
        let services: BTreeMap<u8, u8> = (0..200).map(|address| (address, 2)).collect();
        let mut world = World::from([("shop".to_owned(), (services, Some(2)))]);
        let whole = spec(&world);
        let mut known = Known::of(Some(&whole));
        world.get_mut("shop").expect("shop").0.insert(77, 1);
        let told = known.tell(&seen(&spec(&world)));
        let (bytes, all) =
            (serde_json::to_vec(&told).expect("JSON"), serde_json::to_vec(&whole).expect("JSON"));
        assert!(bytes.len() < 250 && all.len() > 40_000, "{} of {}", bytes.len(), all.len());
        assert_eq!(known.tell(&seen(&spec(&world)))[0].services, [], "it is told once");
    }
}
