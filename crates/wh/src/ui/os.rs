//! What a host runs, and how old it is, in a few words.

use chrono::{DateTime, Utc};

use super::{Paint, sanitize};
use crate::api::types::OperatingSystem;
use crate::ui::time::age;

/// `NixOS 26.05 · generation 42 · 6 days old · reboot needed`.
pub(crate) fn brief(os: &OperatingSystem, now: DateTime<Utc>) -> String {
    // The code name in brackets is for the long form.
    let name = os.name.split(" (").next().unwrap_or_default().to_owned();
    let reboot = os.reboot_needed.then(|| "reboot needed".to_owned());
    let parts = [Some(name), generation(os), os.packages_at.map(|at| days(at, now)), reboot];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// Everything, as rows below each other.
pub(crate) fn rows(os: &OperatingSystem, now: DateTime<Utc>, paint: Paint) -> [(&'static str, String); 4] {
    let build = os.build.as_ref().map(|build| format!(", build {build}")).unwrap_or_default();
    let activated = os.activated_at.map(|at| format!(", activated {}", age(at, now))).unwrap_or_default();
    let packages = os.packages_at.map(|at| format!("of {} ({})", at.format("%Y-%m-%d"), days(at, now)));
    let reboot = os.reboot_needed.then_some("needed: another kernel is installed than the one that runs");
    [
        ("system", sanitize(&format!("{}{build}", os.name))),
        ("generation", generation(os).map(|text| format!("{text}{activated}")).unwrap_or_default()),
        ("packages", packages.unwrap_or_default()),
        ("reboot", reboot.map(|text| paint.yellow(text)).unwrap_or_default()),
    ]
}

fn generation(os: &OperatingSystem) -> Option<String> {
    match (os.generation, os.boot_generation) {
        (Some(now), Some(boot)) if now != boot => Some(format!("generation {now}, {boot} at the next boot")),
        (Some(now), _) => Some(format!("generation {now}")),
        (None, Some(boot)) => Some(format!("no generation, {boot} at the next boot")),
        (None, None) => None,
    }
}

fn days(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match (now - at).num_days() {
        ..1 => "new today".to_owned(),
        1 => "1 day old".to_owned(),
        days => format!("{days} days old"),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn nixos(now: DateTime<Utc>) -> OperatingSystem {
        OperatingSystem {
            name: "NixOS 26.05 (Yarara)".to_owned(),
            generation: Some(42),
            boot_generation: Some(42),
            packages_at: Some(now - TimeDelta::days(6)),
            reboot_needed: true,
            ..OperatingSystem::default()
        }
    }

    #[test]
    fn the_brief_form_has_what_an_operator_looks_for() {
        let now = Utc::now();
        assert_eq!(brief(&nixos(now), now), "NixOS 26.05 · generation 42 · 6 days old · reboot needed");
        let debian = OperatingSystem {
            name: "Debian GNU/Linux 13 (trixie)".to_owned(),
            packages_at: Some(now),
            ..OperatingSystem::default()
        };
        assert_eq!(brief(&debian, now), "Debian GNU/Linux 13 · new today");
    }

    #[test]
    fn what_boots_next_is_said_only_when_it_is_another() {
        let now = Utc::now();
        let waiting = OperatingSystem { generation: Some(41), ..nixos(now) };
        assert_eq!(generation(&waiting).as_deref(), Some("generation 41, 42 at the next boot"));
        let tried = OperatingSystem { generation: None, ..nixos(now) };
        assert_eq!(generation(&tried).as_deref(), Some("no generation, 42 at the next boot"));
    }
}
