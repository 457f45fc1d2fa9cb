//! Which limits of an instance nothing enforces on its node. Pure.

use protocol::enforced::{Enforced, Enforcement};
use serde::Serialize;

use super::Settings;

/// A limit that is asked for, and does not hold there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = UnenforcedLimit)]
pub struct Unenforced {
    /// The setting, such as `isolation.disk_mb`.
    pub setting: String,
    pub why: String,
}

const SILENT: &str = "the worker's version does not say whether it does: upgrade it";

/// `node` is what its worker said; nothing from those of an older version, which have the limits of memory, processor and
/// processes at least.
pub fn of(settings: &Settings, node: Option<&Enforced>) -> Vec<Unenforced> {
    let isolation = &settings.isolation;
    let asked = [
        ("resources.memory_mb", true, node.map(|node| &node.memory), false),
        ("resources.cpu_millis", true, node.map(|node| &node.cpu), false),
        ("resources.pids", true, node.map(|node| &node.pids), false),
        ("isolation.read_only", isolation.read_only, None, node.is_none()),
        ("isolation.tmpfs", !isolation.tmpfs.is_empty(), None, node.is_none()),
        ("isolation.disk_mb", isolation.disk_mb.is_some(), node.map(|node| &node.disk), true),
        ("isolation.egress_mbit", isolation.egress_mbit.is_some(), node.map(|node| &node.bandwidth), true),
        ("isolation.ingress_mbit", isolation.ingress_mbit.is_some(), node.map(|node| &node.bandwidth), true),
    ];
    let missing = |(setting, wanted, found, needs_word): (&str, bool, Option<&Enforcement>, bool)| {
        let why = match found {
            _ if !wanted => return None,
            Some(found) if found.is_enforced() => return None,
            Some(found) => found.why_not.clone().unwrap_or_else(|| "nothing on the node does".to_owned()),
            None if needs_word => SILENT.to_owned(),
            None => return None,
        };
        Some(Unenforced { setting: setting.to_owned(), why })
    };
    asked.into_iter().filter_map(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(settings: &Settings, node: Option<&Enforced>) -> String {
        of(settings, node).into_iter().map(|one| one.setting).collect::<Vec<_>>().join(" ")
    }

    fn all() -> Enforced {
        let by = || Enforcement::by("the kernel");
        Enforced {
            user_namespaces: by(),
            memory: by(),
            swap: by(),
            cpu: by(),
            pids: by(),
            bandwidth: by(),
            disk: by(),
        }
    }

    #[test]
    fn a_limit_that_nothing_enforces_is_told_with_its_reason_where_it_is_asked_for() {
        let plain = Settings::default();
        let mut limited = Settings::default();
        limited.isolation.disk_mb = Some(100);
        limited.isolation.egress_mbit = Some(16);
        let no_disk = Enforced { disk: Enforcement::not("ext4 has no quota"), ..all() };
        assert_eq!(names(&limited, Some(&all())), "");
        assert_eq!(names(&plain, Some(&no_disk)), "", "nobody asked");
        assert_eq!(of(&limited, Some(&no_disk))[0].why, "ext4 has no quota");
        assert_eq!(names(&limited, Some(&no_disk)), "isolation.disk_mb");
        let no_pids = Enforced { pids: Enforcement::not("no controller"), ..all() };
        assert_eq!(names(&plain, Some(&no_pids)), "resources.pids");
    }

    #[test]
    fn of_a_worker_that_says_nothing_only_what_it_may_not_know_is_told() {
        let mut limited = Settings::default();
        assert_eq!(names(&limited, None), "");
        limited.isolation.read_only = true;
        limited.isolation.ingress_mbit = Some(1);
        assert_eq!(names(&limited, None), "isolation.read_only isolation.ingress_mbit");
        assert_eq!(names(&limited, Some(&all())), "");
    }
}
