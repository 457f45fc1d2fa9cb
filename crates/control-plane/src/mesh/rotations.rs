//! Other keys for nodes' tunnels, without a moment in which a node has only a key that its peers refuse.
//!
//! The host is asked, makes a key, and tells its public half. The others take it beside the one in use, and say so. When
//! all that matter have, the host is told to use it: from then on each peer goes by what it hears, and the host reports
//! under its new key, which ends the rotation. Only one host changes at a time.

use chrono::{DateTime, TimeDelta, Utc};
use protocol::identity::Role;
use protocol::ids::NodeId;
use protocol::report::MeshReport;
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use tracing::{info, warn};
use uuid::Uuid;

use super::Side;
use super::store::{self, rotations as rows};
use crate::audit;
use crate::bus::{self, Topic};
use crate::generations::{self, Consumer};
use crate::nodes::enrol::check_public_key;
use crate::nodes::store::Known;
use crate::notices::{Severity, Trouble};

/// A host that was told and does not change within this may be off: the next one is told.
const TURN: TimeDelta = TimeDelta::seconds(60);
/// A fleet that is there changes a key within seconds.
const PATIENCE: TimeDelta = TimeDelta::minutes(15);

/// A node that is asked for another key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    pub node: NodeId,
    pub rotation: Uuid,
    pub asked_at: DateTime<Utc>,
    pub next_key: Option<String>,
    pub told_at: Option<DateTime<Utc>>,
}

/// How far a node is with another key for its tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = MeshRotation)]
pub struct View {
    pub asked_at: DateTime<Utc>,
    pub stage: Stage,
    /// Names of the nodes that have to do something first.
    pub waits_for: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = MeshRotationStage)]
pub enum Stage {
    /// The host has not told its next key.
    Asked,
    /// Not all peers take it yet, or another node changes its key right now.
    Announced,
    /// The host may use it, and has not reported under it.
    Turning,
}

impl Rotation {
    /// What there is to say of it. `sides` are all nodes.
    pub fn view(&self, sides: &[Side], now: DateTime<Utc>) -> View {
        let own = sides.iter().find(|side| side.id == self.node);
        let (stage, waits_for) = match (&self.next_key, self.told_at, own) {
            (None, ..) => (Stage::Asked, own.map(|own| own.name.clone()).into_iter().collect()),
            (_, Some(_), own) => (Stage::Turning, own.map(|own| own.name.clone()).into_iter().collect()),
            (Some(next), None, own) => {
                (Stage::Announced, own.map(|own| waits_for(own, next, sides, now)).unwrap_or_default())
            }
        };
        View { asked_at: self.asked_at, stage, waits_for }
    }
}

/// The nodes without whom `own` may not use its key `next`: itself, when it does not report; all that would lose it; and
/// of a control plane everybody, because a node that is off now comes back only through it.
pub fn waits_for(own: &Side, next: &str, sides: &[Side], now: DateTime<Utc>) -> Vec<String> {
    let Some(report) = own.fresh(now) else { return vec![own.name.clone()] };
    let hears =
        |other: &Side| report.peers.iter().any(|peer| peer.public_key == other.public_key && peer.answers());
    let takes = |other: &Side| {
        other.report.as_ref().is_some_and(|report| report.takes.iter().any(|taken| taken == next))
    };
    let needed = |other: &&Side| {
        let loses = own.roles.contains(&Role::ControlPlane) || other.fresh(now).is_some() || hears(other);
        other.id != own.id && loses && !takes(other)
    };
    sides.iter().filter(needed).map(|other| other.name.clone()).collect()
}

/// Who is to be told now, if anybody.
pub fn next_to_tell<'a>(
    rotations: &'a [Rotation],
    sides: &[Side],
    now: DateTime<Utc>,
) -> Option<&'a Rotation> {
    if rotations.iter().any(|one| one.told_at.is_some_and(|at| now - at < TURN)) {
        return None;
    }
    rotations.iter().filter(|one| one.told_at.is_none()).find(|one| {
        let own = sides.iter().find(|side| side.id == one.node);
        own.zip(one.next_key.as_ref()).is_some_and(|(own, next)| waits_for(own, next, sides, now).is_empty())
    })
}

/// Takes in what a node reports: a key that it has made, that it uses it, that it takes somebody else's.
pub async fn take(conn: &mut PgConnection, node: &Known, report: &MeshReport) -> sqlx::Result<()> {
    if !report.takes.is_empty() {
        bus::say(conn, Topic::Mesh, node.id).await?;
    }
    let changed = report.public_key.as_ref().is_some_and(|key| *key != node.public_key);
    if report.next_key.is_none() && !changed {
        return Ok(());
    }
    let Some(rotation) = rows::lock(conn, node.id).await? else { return Ok(()) };
    if changed && rotation.next_key.is_some() && rotation.next_key == report.public_key {
        return ended(conn, node, &rotation).await;
    }
    let Some(next) = &report.next_key else { return Ok(()) };
    if next.rotation != rotation.rotation || rotation.next_key.as_ref() == Some(&next.public_key) {
        return Ok(());
    }
    if check_public_key(&next.public_key).is_err() || !rows::announce(conn, node.id, &next.public_key).await?
    {
        warn!(node.name = node.name, "a node announces a key that is none, or is some other node's: ignored");
        return Ok(());
    }
    generations::raise(conn, Consumer::Mesh).await?;
    bus::say(conn, Topic::Mesh, node.id).await
}

async fn ended(conn: &mut PgConnection, node: &Known, rotation: &Rotation) -> sqlx::Result<()> {
    let key = rotation.next_key.as_deref().unwrap_or_default();
    rows::end(conn, node.id, key).await?;
    generations::raise(conn, Consumer::Mesh).await?;
    bus::say(conn, Topic::Nodes, node.id).await?;
    bus::say(conn, Topic::Mesh, node.id).await?;
    let subject = format!("node:{}", node.name);
    let detail = json!({ "public_key": key });
    audit::record_system(conn, &subject, "mesh.change-key", &subject, detail).await?;
    info!(node.id = %node.id, node.name = node.name, "the tunnel of {} uses another key", node.name);
    Ok(())
}

/// Rotations that somebody should look at.
pub async fn troubles(conn: &mut PgConnection) -> sqlx::Result<Vec<Trouble>> {
    let now = Utc::now();
    let mut stuck = rows::all(conn).await?;
    stuck.retain(|rotation| now - rotation.asked_at > PATIENCE);
    if stuck.is_empty() {
        return Ok(Vec::new());
    }
    let sides = store::sides(conn).await?;
    let named = |rotation: &Rotation| {
        let own = sides.iter().find(|side| side.id == rotation.node)?;
        Some(trouble(&own.name, &rotation.view(&sides, now)))
    };
    Ok(stuck.iter().filter_map(named).collect())
}

fn trouble(name: &str, view: &View) -> Trouble {
    let who = if view.waits_for.is_empty() { "another node".to_owned() } else { view.waits_for.join(", ") };
    Trouble {
        organization: None,
        kind: "mesh-key",
        subject: format!("node:{name}"),
        stage: "waiting",
        severity: Severity::Warning,
        text: format!(
            "The tunnel of {name} was to get another key and waits for {who}. The old one is still in use."
        ),
        hint: Some(format!(
            "It goes on when the mesh agents there are connected and of this version: `wh mesh`. `wh mesh rotate {name} --cancel` leaves the key as it is."
        )),
    }
}

#[cfg(test)]
mod tests {
    use protocol::report::{PeerReport, Probes};

    use super::*;
    use crate::nodes::Status;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).expect("in range")
    }

    fn id(name: &str) -> NodeId {
        NodeId(Uuid::from_u128(name.bytes().fold(0, |all, byte| all * 256 + u128::from(byte))))
    }

    /// A node that reported a moment ago, hears these and takes the keys of those.
    fn side(name: &str, hears: &[&str], takes: &[&str]) -> Side {
        let probes = Some(Probes { sent: 9, lost: 0, silent: 0, rtt_us: Some(900), mtu: None });
        let peer = |other: &&str| PeerReport {
            public_key: (*other).to_owned(),
            endpoint: None,
            handshake_age_s: Some(9),
            received_bytes: 0,
            sent_bytes: 0,
            probes,
            via: None,
            direct_s: None,
        };
        let report = MeshReport {
            peers: hears.iter().map(peer).collect(),
            takes: takes.iter().map(|of| format!("next {of}")).collect(),
            ..MeshReport::default()
        };
        Side {
            id: id(name),
            name: name.to_owned(),
            roles: vec![if name == "cp" { Role::ControlPlane } else { Role::Worker }],
            mesh_address: [10, 50, 0, 1].into(),
            public_key: name.to_owned(),
            endpoint: None,
            status: Status::Online,
            wireguard: None,
            reported_at: Some(now()),
            report: Some(report),
        }
    }

    fn gone(mut side: Side) -> Side {
        side.reported_at = Some(now() - TimeDelta::hours(1));
        side
    }

    fn rotation(of: &str, told_s: Option<i64>) -> Rotation {
        Rotation {
            node: id(of),
            rotation: Uuid::nil(),
            asked_at: now(),
            next_key: Some(format!("next {of}")),
            told_at: told_s.map(|seconds| now() - TimeDelta::seconds(seconds)),
        }
    }

    fn waiting(of: &str, sides: &[Side]) -> Vec<String> {
        let own = sides.iter().find(|side| side.name == of).expect("a node");
        waits_for(own, &format!("next {of}"), sides, now())
    }

    #[test]
    fn a_key_is_used_only_when_all_that_would_lose_the_node_take_it() {
        let w1 = || side("w1", &["cp", "w2"], &[]);
        let all = [side("cp", &[], &["w1"]), w1(), side("w2", &[], &[]), side("w3", &[], &["w1"])];
        assert_eq!(waiting("w1", &all), ["w2"], "it is connected and has not said so");
        // Cut off from the control plane, but not from the node: it would lose it and could not be told.
        let cut = [side("cp", &[], &["w1"]), w1(), gone(side("w2", &[], &[]))];
        assert_eq!(waiting("w1", &cut), ["w2"]);
        // Off: it learns the key when it is back.
        let off = [side("cp", &[], &["w1"]), side("w1", &["cp"], &[]), gone(side("w2", &[], &[]))];
        assert_eq!(waiting("w1", &off), [""; 0]);
        // The host itself must be there to be told.
        assert_eq!(waiting("w1", &[side("cp", &[], &["w1"]), gone(w1())]), ["w1"]);
    }

    #[test]
    fn a_control_plane_waits_for_those_who_are_off_unless_they_have_taken_its_key_before() {
        let off = [side("cp", &["w1"], &[]), side("w1", &[], &["cp"]), gone(side("w2", &[], &[]))];
        assert_eq!(waiting("cp", &off), ["w2"]);
        let knows = [side("cp", &["w1"], &[]), side("w1", &[], &["cp"]), gone(side("w2", &[], &["cp"]))];
        assert_eq!(waiting("cp", &knows), [""; 0]);
    }

    #[test]
    fn one_changes_at_a_time_and_one_that_does_not_holds_nobody_up_for_long() {
        let sides = [side("cp", &[], &["w1", "w2"]), side("w1", &[], &["w2"]), side("w2", &[], &["w1"])];
        let told = |rotations: &[Rotation]| next_to_tell(rotations, &sides, now()).map(|one| one.node);
        assert_eq!(told(&[rotation("w1", None), rotation("w2", None)]), Some(id("w1")));
        assert_eq!(told(&[rotation("w1", Some(5)), rotation("w2", None)]), None);
        assert_eq!(told(&[rotation("w1", Some(90)), rotation("w2", None)]), Some(id("w2")));
        assert_eq!(told(&[rotation("cp", None), rotation("w2", None)]), Some(id("w2")), "cp has to wait");
        let unmade = Rotation { next_key: None, ..rotation("w1", None) };
        assert_eq!(told(std::slice::from_ref(&unmade)), None);
        assert_eq!(unmade.view(&sides, now()).waits_for, ["w1"]);
        assert_eq!(rotation("cp", None).view(&sides, now()).stage, Stage::Announced);
        assert_eq!(rotation("w1", Some(5)).view(&sides, now()).stage, Stage::Turning);
    }
}
