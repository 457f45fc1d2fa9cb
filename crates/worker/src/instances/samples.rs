//! Samples for unit tests.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use protocol::ids::{AppId, InstanceId, NodeId};
use protocol::spec::{CrashGuard, ImageSource, ImageSpec, InstanceSpec, Isolation, Probe, Resources};

/// `second` after a fixed time.
pub(crate) fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).expect("a time")
}

pub(crate) fn spec(app: &str, release: i32) -> InstanceSpec {
    InstanceSpec {
        id: InstanceId::new(),
        app_id: AppId::new(),
        app: app.to_owned(),
        project: "shop".to_owned(),
        release,
        image: ImageSpec {
            id: format!("sha256:{}", "a".repeat(64)),
            reference: "docker.io/library/busybox:latest".to_owned(),
            sources: vec![ImageSource {
                node: NodeId::new(),
                address: "10.50.0.12:8090".parse().expect("an address"),
                ticket: "t".to_owned(),
            }],
        },
        env: BTreeMap::new(),
        predefined: BTreeMap::new(),
        command: None,
        port: 8080,
        published: "10.50.0.11:20001".parse().expect("an address"),
        udp: false,
        exclusive: false,
        probe: Probe::default(),
        resources: Resources::default(),
        isolation: Isolation::default(),
        crash_guard: CrashGuard::default(),
        stop_grace_s: 10,
        once: false,
    }
}
