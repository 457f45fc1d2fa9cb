//! What one worker runs.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use chrono::{DateTime, Days, NaiveTime, Utc};
use protocol::identity::SigningKey;
use protocol::ids::{AppId, InstanceId, NodeId, ProjectId};
use protocol::job::ImageTicket;
use protocol::registry::CopyOrder;
use protocol::spec::{ImageSource, ImageSpec, InstanceSpec, WorkerSpec};

use crate::apps::Settings;
use crate::instances::Task;

/// An instance that should run on the worker.
#[derive(Debug)]
pub struct Wanted {
    pub id: InstanceId,
    pub app_id: AppId,
    pub app: String,
    pub project: ProjectId,
    pub release: i32,
    pub image_id: String,
    pub image_reference: String,
    pub settings: Settings,
    pub env: BTreeMap<String, String>,
    pub predefined: BTreeMap<String, String>,
    pub host_port: u16,
    /// The port is published for UDP as well.
    pub udp: bool,
    /// No other instance of the app may run beside it.
    pub exclusive: bool,
    /// The command that it is there for; an ordinary instance has none.
    pub task: Option<Task>,
}

/// A worker that has an image.
#[derive(Debug, Clone)]
pub struct Holder {
    pub image_id: String,
    pub node: NodeId,
    /// Where it hands the image out.
    pub address: SocketAddr,
    pub online: bool,
    pub key: SigningKey,
}

/// What the worker should do with images that none of its instances needs.
#[derive(Debug, Clone, Default)]
pub struct Images {
    /// Ids and names for people.
    pub hold: Vec<(String, String)>,
    pub remove: Vec<String>,
    /// Apps whose build caches go.
    pub caches: Vec<AppId>,
    /// What it should do in registries.
    pub copies: Vec<CopyOrder>,
}

/// The worker's whole desired state, by instance id.
pub fn spec(
    node: NodeId,
    address: Ipv4Addr,
    wanted: Vec<Wanted>,
    images: Images,
    holders: &[Holder],
    now: DateTime<Utc>,
) -> WorkerSpec {
    let expires_at = ticket_end(now);
    let mut instances: Vec<InstanceSpec> =
        wanted.into_iter().map(|wanted| instance(node, address, wanted, holders, now)).collect();
    instances.sort_by_key(|instance| instance.id);
    let mut remove = images.remove;
    // An instance may have come since the list was made.
    remove.retain(|id| instances.iter().all(|instance| instance.image.id != *id));
    let hold = images.hold.into_iter().map(|(id, reference)| ImageSpec {
        sources: sources(node, &id, holders, expires_at),
        id,
        reference,
    });
    WorkerSpec {
        instances,
        images: hold.collect(),
        remove_images: remove,
        remove_caches: images.caches,
        copies: images.copies,
        private: None,
    }
}

/// One container of the worker.
pub fn instance(
    node: NodeId,
    address: Ipv4Addr,
    wanted: Wanted,
    holders: &[Holder],
    now: DateTime<Utc>,
) -> InstanceSpec {
    InstanceSpec {
        id: wanted.id,
        app_id: wanted.app_id,
        app: wanted.app,
        project: wanted.project.to_string(),
        release: wanted.release,
        image: ImageSpec {
            sources: sources(node, &wanted.image_id, holders, ticket_end(now)),
            id: wanted.image_id,
            reference: wanted.image_reference,
        },
        env: wanted.env,
        predefined: wanted.predefined,
        command: match wanted.task {
            None => wanted.settings.command,
            Some(Task::PreDeploy) => wanted.settings.deploy.pre_command,
            Some(Task::PostDeploy) => wanted.settings.deploy.post_command,
        },
        // A release's port is settled when it is made.
        port: wanted.settings.port.unwrap_or(8080),
        published: SocketAddr::new(address.into(), wanted.host_port),
        udp: wanted.udp,
        exclusive: wanted.exclusive,
        probe: wanted.settings.probe,
        resources: wanted.settings.resources,
        isolation: wanted.settings.isolation,
        crash_guard: wanted.settings.crash_guard,
        stop_grace_s: wanted.settings.deploy.stop_grace_s,
        once: wanted.task.is_some(),
    }
}

/// Who else has the image, the ones that answer first.
fn sources(node: NodeId, image_id: &str, holders: &[Holder], expires_at: i64) -> Vec<ImageSource> {
    let mut holders: Vec<&Holder> =
        holders.iter().filter(|holder| holder.image_id == image_id && holder.node != node).collect();
    holders.sort_by_key(|holder| (!holder.online, holder.node));
    let ticket =
        |holder: &Holder| ImageTicket { image_id: image_id.to_owned(), expires_at }.seal(&holder.key);
    holders
        .into_iter()
        .map(|holder| ImageSource { node: holder.node, address: holder.address, ticket: ticket(holder) })
        .collect()
}

/// Tickets last until the end of tomorrow (UTC): at least a day, and the same for all specs of one day.
fn ticket_end(now: DateTime<Utc>) -> i64 {
    let end = now.date_naive().checked_add_days(Days::new(2)).unwrap_or(now.date_naive());
    end.and_time(NaiveTime::MIN).and_utc().timestamp()
}

#[cfg(test)]
mod tests {
    use protocol::identity::ApiKey;

    use super::*;

    fn wanted(port: u16) -> Wanted {
        Wanted {
            id: InstanceId::new(),
            app_id: AppId::new(),
            app: "hello".to_owned(),
            project: ProjectId(uuid::Uuid::nil()),
            release: 1,
            image_id: "sha256:aa".to_owned(),
            image_reference: "wisehosting/hello:1".to_owned(),
            settings: Settings { port: Some(80), ..Settings::default() },
            env: BTreeMap::new(),
            predefined: BTreeMap::new(),
            host_port: port,
            udp: false,
            exclusive: false,
            task: None,
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("time")
    }

    #[test]
    fn specs_of_one_day_are_the_same_and_their_tickets_outlast_it_by_a_day() {
        let key = ApiKey::generate().signing_key();
        let (own, other) = (NodeId::new(), NodeId::new());
        let holder = |node| Holder {
            image_id: "sha256:aa".to_owned(),
            node,
            address: ([10, 50, 0, 3], 8190).into(),
            online: true,
            key: key.clone(),
        };
        let holders = [holder(own), holder(other)];
        let one = wanted(20000);
        let id = one.id;
        let make = |now: &str| {
            let again = Wanted { id, app_id: one.app_id, ..wanted(20000) };
            spec(own, Ipv4Addr::new(10, 50, 0, 2), vec![again], Images::default(), &holders, at(now))
        };
        let morning = make("2026-01-01T00:00:00Z");
        assert_eq!(morning, make("2026-01-01T23:59:59Z"));
        let sources = &morning.instances[0].image.sources;
        assert_eq!(sources.len(), 1, "a worker is no source for itself");
        let late = at("2026-01-02T23:59:59Z").timestamp();
        assert!(ImageTicket::admits(&sources[0].ticket, "sha256:aa", &key, late));
    }

    #[test]
    fn a_task_runs_its_command_once() {
        let mut settings = Settings { command: Some(vec!["serve".to_owned()]), ..Settings::default() };
        settings.deploy.pre_command = Some(vec!["migrate".to_owned()]);
        let make = |task| {
            let wanted = Wanted { task, settings: settings.clone(), ..wanted(20000) };
            let spec = spec(
                NodeId::new(),
                Ipv4Addr::new(10, 50, 0, 2),
                vec![wanted],
                Images::default(),
                &[],
                at("2026-01-01T00:00:00Z"),
            );
            let instance = &spec.instances[0];
            (instance.once, instance.command.clone().unwrap_or_default().join(" "))
        };
        assert_eq!(make(None), (false, "serve".to_owned()));
        assert_eq!(make(Some(Task::PreDeploy)), (true, "migrate".to_owned()));
    }

    #[test]
    fn an_image_that_an_instance_needs_by_now_is_not_removed() {
        let key = ApiKey::generate().signing_key();
        let holder = Holder {
            image_id: "sha256:cc".to_owned(),
            node: NodeId::new(),
            address: ([10, 50, 0, 3], 8190).into(),
            online: true,
            key,
        };
        let images = Images {
            hold: vec![("sha256:cc".to_owned(), "hello:2".to_owned())],
            remove: vec!["sha256:aa".to_owned(), "sha256:bb".to_owned()],
            ..Images::default()
        };
        let now = at("2026-01-01T00:00:00Z");
        let address = Ipv4Addr::new(10, 50, 0, 2);
        let spec = spec(NodeId::new(), address, vec![wanted(20000)], images, &[holder], now);
        assert_eq!(spec.remove_images, ["sha256:bb"]);
        assert_eq!((spec.images[0].id.as_str(), spec.images[0].sources.len()), ("sha256:cc", 1));
    }
}
