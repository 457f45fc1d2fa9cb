//! What may be written into an app: slugs, settings, short texts.

use std::collections::{BTreeMap, BTreeSet};

use protocol::job::Containerfile;
use protocol::spec::{CrashGuard, Isolation, Probe, ProbeCheck, Resources};

use super::Settings;
use crate::config::is_label;
use crate::http::{Code, Error, Result};
use crate::nodes::health::config::GRACE_S;
use crate::placement::Placement;

/// Names that the product uses itself, or that people trust in a hostname.
const RESERVED: &[&str] = &[
    "www",
    "api",
    "admin",
    "administrator",
    "mail",
    "smtp",
    "imap",
    "pop",
    "ftp",
    "ssh",
    "root",
    "dns",
    "ns",
    "ns1",
    "ns2",
    "mx",
    "app",
    "apps",
    "dashboard",
    "console",
    "login",
    "signin",
    "signup",
    "auth",
    "oauth",
    "sso",
    "account",
    "accounts",
    "status",
    "health",
    "metrics",
    "setup",
    "control-plane",
    "proxy",
    "worker",
    "node",
    "nodes",
    "mesh",
    "registry",
    "git",
    "cdn",
    "static",
    "assets",
    "docs",
    "help",
    "support",
    "security",
    "billing",
    "abuse",
    "postmaster",
    "hostmaster",
    "webmaster",
    "localhost",
    "internal",
    "system",
    "wisehosting",
    "autoconfig",
    "autodiscover",
    "wpad",
    "mta-sts",
];

/// 1 to 40 of `a-z`, `0-9` and `-`; begins with a letter, no `--`, does not end in `-`, not reserved.
pub fn check_slug(slug: &str) -> Result<()> {
    let problem = if slug.is_empty() {
        "must not be empty"
    } else if slug.len() > 40 {
        "is longer than 40 characters"
    } else if !slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        "may only have a-z, 0-9 and -"
    } else if !slug.starts_with(|first: char| first.is_ascii_lowercase()) {
        "must begin with a letter"
    } else if slug.ends_with('-') {
        "must not end in -"
    } else if slug.contains("--") {
        "must not have -- in it"
    } else if RESERVED.contains(&slug) {
        "is reserved"
    } else {
        return Ok(());
    };
    Err(Error::new(Code::SlugInvalid, format!("the slug {problem}"))
        .field("slug")
        .hint("Use a short name such as hello or team-wiki"))
}

/// A text for people: of some length, on one line.
pub fn check_text(field: &str, text: &str, least: usize, most: usize) -> Result<()> {
    let length = text.chars().count();
    if length < least || length > most {
        let message = if least == 0 {
            format!("{field} may have at most {most} characters")
        } else {
            format!("{field} must have {least} to {most} characters")
        };
        return Err(Error::invalid(field, message));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::invalid(field, format!("{field} must not have control characters")));
    }
    Ok(())
}

/// Characters of the words about a deployment.
pub const MESSAGE_LIMIT: usize = 500;

/// What somebody says about a deployment.
pub fn check_message(message: Option<&str>) -> Result<()> {
    check_text("message", message.unwrap_or_default(), 0, MESSAGE_LIMIT)
}

/// `prefix` names where in the request the settings are: empty, or `settings.`.
pub fn check_settings(settings: &Settings, prefix: &str) -> Result<()> {
    let field = |name: &str| format!("{prefix}{name}");
    if settings.port == Some(0) {
        return Err(Error::invalid(field("port"), "port must be between 1 and 65535"));
    }
    range(field("replicas"), settings.replicas.into(), 1, 100)?;
    if settings.exclusive && settings.replicas > 1 {
        let message = format!("an exclusive app has one instance, not {}", settings.replicas);
        return Err(Error::invalid(field("replicas"), message)
            .hint("Set `replicas` to 1, or `exclusive` to false so that several may run beside each other"));
    }
    check_probe(&settings.probe, &field("probe"))?;
    check_resources(&settings.resources, &field("resources"))?;
    check_isolation(&settings.isolation, &field("isolation"))?;
    check_crash_guard(settings.crash_guard, &field("crash_guard"))?;
    if let Some(command) = &settings.command {
        check_command(command, &field("command"))?;
    }
    let deploy =
        [("pre_command", &settings.deploy.pre_command), ("post_command", &settings.deploy.post_command)];
    for (name, command) in deploy {
        if let Some(command) = command {
            check_command(command, &field(&format!("deploy.{name}")))?;
        }
    }
    range(field("deploy.drain_s"), settings.deploy.drain_s, 0, 3600)?;
    range(field("deploy.stop_grace_s"), settings.deploy.stop_grace_s, 1, 600)?;
    if let Some(containerfile) = &settings.containerfile {
        check_containerfile(containerfile, &field("containerfile"))?;
    }
    check_placement(&settings.placement, &field("placement"))
}

fn check_placement(placement: &Placement, field: &str) -> Result<()> {
    for (name, constraints) in [("required", &placement.required), ("preferred", &placement.preferred)] {
        if constraints.len() > 16 {
            let message = format!("{field}.{name} may have at most 16 conditions");
            return Err(Error::invalid(format!("{field}.{name}"), message));
        }
    }
    if placement.pin.as_deref().is_some_and(|pin| !is_label(pin)) {
        return Err(Error::invalid(format!("{field}.pin"), "pin must be the name of a node")
            .hint("`wh node ls` lists the nodes"));
    }
    if let Some(grace_s) = placement.grace_s {
        range(format!("{field}.grace_s"), grace_s, *GRACE_S.start(), *GRACE_S.end())?;
    }
    match placement.max_per_node {
        Some(most) => range(format!("{field}.max_per_node"), most.into(), 1, 100),
        None => Ok(()),
    }
}

fn range(field: String, value: u32, least: u32, most: u32) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let message = format!("{field} must be between {least} and {most}");
    Err(Error::invalid(field, message))
}

fn check_probe(probe: &Probe, field: &str) -> Result<()> {
    range(format!("{field}.interval_s"), probe.interval_s, 1, 300)?;
    range(format!("{field}.timeout_s"), probe.timeout_s, 1, 60)?;
    range(format!("{field}.start_within_s"), probe.start_within_s, 1, 3600)?;
    range(format!("{field}.failures"), probe.failures, 1, 100)?;
    if probe.check == ProbeCheck::Off && probe.interval_s > probe.start_within_s {
        let message = "without a probe, healthy is what has run for the interval: it must not be longer than start_within_s";
        return Err(Error::invalid(format!("{field}.interval_s"), message));
    }
    if let ProbeCheck::Command { command } = &probe.check {
        check_command(command, &format!("{field}.check.command"))?;
    }
    if let ProbeCheck::Http { path, status } = &probe.check {
        let plain = path.bytes().all(|byte| byte.is_ascii_graphic());
        if !path.starts_with('/') || !plain || path.len() > 1024 {
            let message =
                "the probe's path must begin with / and have neither spaces nor other letters than ASCII";
            return Err(Error::invalid(format!("{field}.check.path"), message));
        }
        if let Some(status) = status {
            range(format!("{field}.check.status"), (*status).into(), 100, 599)?;
        }
    }
    Ok(())
}

fn check_crash_guard(guard: CrashGuard, field: &str) -> Result<()> {
    range(format!("{field}.restarts"), guard.restarts, 0, 100)?;
    range(format!("{field}.calm_s"), guard.calm_s, 10, 86_400)
}

fn check_resources(resources: &Resources, field: &str) -> Result<()> {
    range(format!("{field}.memory_mb"), resources.memory_mb, 16, 1 << 20)?;
    range(format!("{field}.cpu_millis"), resources.cpu_millis, 10, 256_000)?;
    range(format!("{field}.pids"), resources.pids, 8, 1 << 16)
}

/// Each folder in memory was checked when it was read.
fn check_isolation(isolation: &Isolation, field: &str) -> Result<()> {
    let limits = [
        ("disk_mb", isolation.disk_mb, 1, 1 << 20),
        ("egress_mbit", isolation.egress_mbit, 1, 10_000),
        ("ingress_mbit", isolation.ingress_mbit, 1, 10_000),
    ];
    for (name, limit, least, most) in limits {
        if let Some(limit) = limit {
            range(format!("{field}.{name}"), limit, least, most)?;
        }
    }
    let tmpfs = format!("{field}.tmpfs");
    if isolation.tmpfs.len() > 16 {
        let message = format!("{tmpfs} may have at most 16 folders");
        return Err(Error::invalid(tmpfs, message));
    }
    let mut paths = BTreeSet::new();
    match isolation.tmpfs.iter().find(|folder| !paths.insert(folder.path())) {
        Some(twice) => {
            let message = format!("{tmpfs} names {} twice", twice.path());
            Err(Error::invalid(tmpfs, message).hint("Leave one of them out"))
        }
        None => Ok(()),
    }
}

fn check_command(command: &[String], field: &str) -> Result<()> {
    let problem = if command.first().is_none_or(String::is_empty) {
        "must begin with the name of a program"
    } else if command.len() > 128 {
        "may have at most 128 words"
    } else if command.iter().any(|word| word.len() > 4096 || word.contains('\0')) {
        "may have at most 4096 bytes in each word, and no zero byte"
    } else {
        return Ok(());
    };
    Err(Error::invalid(field, format!("{field} {problem}")))
}

fn check_containerfile(containerfile: &Containerfile, field: &str) -> Result<()> {
    if let Some(path) = &containerfile.path {
        check_inside(path, format!("{field}.path"))?;
    }
    check_inside(&containerfile.context, format!("{field}.context"))?;
    if let Some(folder) = &containerfile.folder {
        check_inside(folder, format!("{field}.folder"))?;
    }
    if let (Some(preset), Some(path)) = (containerfile.preset, &containerfile.path) {
        let message = format!("the preset `{preset}` writes the Containerfile, so that `{path}` is not used");
        return Err(
            Error::invalid(format!("{field}.preset"), message).hint("Set one of `preset` and `path` to null")
        );
    }
    if let Some(publish) = &containerfile.publish {
        check_inside(publish, format!("{field}.publish"))?;
    }
    let of_a_site = containerfile.publish.as_ref().map(|_| "publish").or(containerfile.spa.map(|_| "spa"));
    if let (Some(setting), Some(path)) = (of_a_site, &containerfile.path) {
        let message = format!("`{setting}` is for presets that serve files, and `{path}` is none");
        return Err(Error::invalid(format!("{field}.{setting}"), message)
            .hint(format!("Set one of `{setting}` and `path` to null")));
    }
    let word = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.len() <= 128
    };
    if containerfile.target.as_deref().is_some_and(|target| !word(target)) {
        return Err(Error::invalid(
            format!("{field}.target"),
            "the target must be the name of a build stage",
        ));
    }
    if let Some(platform) = &containerfile.platform {
        let parts: Vec<&str> = platform.split('/').collect();
        if !matches!(parts[..], ["linux", _] | ["linux", _, _]) || !parts.iter().all(|part| word(part)) {
            let message = "the platform must be written as linux/amd64 or linux/arm/v7";
            return Err(Error::invalid(format!("{field}.platform"), message));
        }
    }
    check_labels(&containerfile.labels, &format!("{field}.labels"))?;
    if containerfile.args.len() > 64 {
        return Err(Error::invalid(format!("{field}.args"), "there may be at most 64 build arguments"));
    }
    for (name, value) in &containerfile.args {
        if !crate::variables::is_name(name) || value.len() > 4096 || value.chars().any(char::is_control) {
            let message =
                "a build argument has a name of A-Z, a-z, 0-9 and _, and one line of at most 4096 bytes";
            return Err(Error::invalid(format!("{field}.args.{name}"), message));
        }
    }
    Ok(())
}

/// Ours mark the images that clean-up may remove.
fn check_labels(labels: &BTreeMap<String, String>, field: &str) -> Result<()> {
    if labels.len() > 64 {
        return Err(Error::invalid(field, "there may be at most 64 labels"));
    }
    for (name, value) in labels {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte));
        let message = if !plain
            || !name.starts_with(|first: char| first.is_ascii_alphanumeric())
            || name.len() > 128
        {
            "a label's name begins with a letter or digit and has no more than 128 of those, `.`, `_`, `-` and `/`"
        } else if name.starts_with("wisehosting.") {
            "labels that begin with `wisehosting.` are set by WiseHosting itself"
        } else if value.len() > 4096 || value.chars().any(char::is_control) {
            "a label's value is one line of at most 4096 bytes"
        } else {
            continue;
        };
        return Err(Error::invalid(format!("{field}.{name}"), message));
    }
    Ok(())
}

/// A path below the source's root, which no tool can take for an option.
fn check_inside(path: &str, field: String) -> Result<()> {
    let inside = !path.is_empty()
        && path.len() <= 1024
        && !path.starts_with(['/', '-'])
        && !path.chars().any(char::is_control)
        && path.split('/').all(|part| part != "..");
    if inside {
        return Ok(());
    }
    let message = format!("{field} must be a path inside the source, such as deploy/Containerfile");
    Err(Error::invalid(field, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_a_short_label_that_nobody_mistakes_for_ours() {
        for good in ["a", "hello", "team-wiki", "x2", &"a".repeat(40)] {
            check_slug(good).expect(good);
        }
        for (bad, word) in [
            ("", "empty"),
            (&*"a".repeat(41), "40"),
            ("Hello", "a-z"),
            ("hällo", "a-z"),
            ("a_b", "a-z"),
            ("a.b", "a-z"),
            ("a b", "a-z"),
            ("2x", "letter"),
            ("-a", "letter"),
            ("a-", "end"),
            ("a--b", "--"),
            ("xn--p1ai", "--"),
            ("www", "reserved"),
            ("api", "reserved"),
            ("admin", "reserved"),
            ("mail", "reserved"),
        ] {
            let error = check_slug(bad).expect_err(bad);
            assert_eq!(error.code(), Code::SlugInvalid);
            assert!(format!("{error:?}").contains(word), "{bad}: {error:?}");
        }
    }

    fn refused(change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = Settings::default();
        change(&mut settings);
        format!("{:?}", check_settings(&settings, "settings.").expect_err("refused"))
    }

    #[test]
    fn a_place_that_cannot_be_is_refused_by_its_field() {
        let none = refused(|settings| settings.placement.max_per_node = Some(0));
        assert!(none.contains("settings.placement.max_per_node"), "{none}");
        let pin = refused(|settings| settings.placement.pin = Some("W 1".to_owned()));
        assert!(pin.contains("settings.placement.pin"), "{pin}");
    }

    #[test]
    fn settings_that_cannot_hold_are_refused_by_their_field() {
        check_settings(&Settings::default(), "").expect("the defaults");
        let http = |path: &str| ProbeCheck::Http { path: path.to_owned(), status: None };
        for (error, field) in [
            (refused(|settings| settings.port = Some(0)), "settings.port"),
            (refused(|settings| settings.replicas = 0), "settings.replicas"),
            (refused(|settings| settings.replicas = 101), "settings.replicas"),
            (refused(|settings| settings.probe.interval_s = 0), "settings.probe.interval_s"),
            (refused(|settings| settings.probe.check = http("up")), "settings.probe.check.path"),
            (refused(|settings| settings.probe.check = http("/a b")), "settings.probe.check.path"),
            (refused(|settings| settings.resources.memory_mb = 1), "settings.resources.memory_mb"),
            (refused(|settings| settings.isolation.disk_mb = Some(0)), "settings.isolation.disk_mb"),
            (refused(|settings| settings.isolation.egress_mbit = Some(0)), "settings.isolation.egress_mbit"),
            (
                refused(|settings| settings.isolation.ingress_mbit = Some(10_001)),
                "settings.isolation.ingress_mbit",
            ),
            (
                refused(|settings| {
                    let folder = |text: &str| text.to_owned().try_into().expect("a folder");
                    settings.isolation.tmpfs = vec![folder("/a=1"), folder("/a=2")];
                }),
                "settings.isolation.tmpfs",
            ),
            (refused(|settings| settings.command = Some(vec![])), "settings.command"),
        ] {
            assert!(error.contains(&format!("{field:?}")), "{field}: {error}");
        }
    }

    #[test]
    fn a_build_that_cannot_be_is_refused_by_its_field() {
        let file = |change: fn(&mut Containerfile)| {
            let mut file = Containerfile::default();
            change(&mut file);
            Some(file)
        };
        for (error, field) in [
            (
                refused(|settings| settings.containerfile = file(|file| file.path = Some("../x".to_owned()))),
                "settings.containerfile.path",
            ),
            (
                refused(|settings| settings.containerfile = file(|file| file.context = "-v".to_owned())),
                "settings.containerfile.context",
            ),
            (
                refused(|settings| settings.containerfile = file(|file| file.folder = Some("/a".to_owned()))),
                "settings.containerfile.folder",
            ),
            (
                refused(|settings| {
                    settings.containerfile = file(|file| {
                        file.preset = Some(protocol::job::Preset::Go);
                        file.path = Some("Containerfile".to_owned());
                    });
                }),
                "settings.containerfile.preset",
            ),
            (
                refused(|settings| {
                    settings.containerfile = file(|file| file.publish = Some("a/../..".to_owned()));
                }),
                "settings.containerfile.publish",
            ),
            (
                refused(|settings| {
                    settings.containerfile = file(|file| {
                        file.spa = Some(true);
                        file.path = Some("Containerfile".to_owned());
                    });
                }),
                "settings.containerfile.spa",
            ),
            (
                refused(|settings| {
                    settings.containerfile = file(|file| file.target = Some("--x".to_owned()));
                }),
                "settings.containerfile.target",
            ),
            (
                refused(|settings| {
                    settings.containerfile =
                        file(|file| _ = file.args.insert("a b".to_owned(), String::new()));
                }),
                "settings.containerfile.args.a b",
            ),
        ] {
            assert!(error.contains(&format!("{field:?}")), "{field}: {error}");
        }
    }
}
