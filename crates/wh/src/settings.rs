//! An app's settings in the words of the project file: `run.port`, `probe.path` and so on.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::api::types::Change;
use crate::context::nearest;
use crate::failure::{Failure, Result};

/// What a value is written as.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Number,
    Text,
    /// A program and its arguments.
    Words,
    Flag,
}

/// The words, where the API's settings have them, and what they hold. Build arguments and labels come on top.
const KEYS: &[(&str, &str, Kind)] = &[
    ("run.port", "/port", Kind::Number),
    ("run.replicas", "/replicas", Kind::Number),
    ("run.exclusive", "/exclusive", Kind::Flag),
    ("run.command", "/command", Kind::Words),
    ("deploy.strategy", "/deploy/strategy", Kind::Text),
    ("deploy.pre_command", "/deploy/pre_command", Kind::Words),
    ("deploy.post_command", "/deploy/post_command", Kind::Words),
    ("deploy.drain_s", "/deploy/drain_s", Kind::Number),
    ("deploy.stop_grace_s", "/deploy/stop_grace_s", Kind::Number),
    ("probe.type", TYPE, Kind::Text),
    ("probe.path", "/probe/check/path", Kind::Text),
    ("probe.status", "/probe/check/status", Kind::Number),
    ("probe.command", "/probe/check/command", Kind::Words),
    ("probe.interval_s", "/probe/interval_s", Kind::Number),
    ("probe.timeout_s", "/probe/timeout_s", Kind::Number),
    ("probe.start_within_s", "/probe/start_within_s", Kind::Number),
    ("probe.failures", "/probe/failures", Kind::Number),
    ("resources.memory_mb", "/resources/memory_mb", Kind::Number),
    ("resources.cpu_millis", "/resources/cpu_millis", Kind::Number),
    ("resources.pids", "/resources/pids", Kind::Number),
    ("isolation.read_only", "/isolation/read_only", Kind::Flag),
    ("isolation.tmpfs", "/isolation/tmpfs", Kind::Words),
    ("isolation.disk_mb", "/isolation/disk_mb", Kind::Number),
    ("isolation.egress_mbit", "/isolation/egress_mbit", Kind::Number),
    ("isolation.ingress_mbit", "/isolation/ingress_mbit", Kind::Number),
    ("crash_guard.restarts", "/crash_guard/restarts", Kind::Number),
    ("crash_guard.calm_s", "/crash_guard/calm_s", Kind::Number),
    ("placement.strategy", "/placement/strategy", Kind::Text),
    ("placement.required", "/placement/required", Kind::Words),
    ("placement.preferred", "/placement/preferred", Kind::Words),
    ("placement.pin", "/placement/pin", Kind::Text),
    ("placement.anti_affinity", "/placement/anti_affinity", Kind::Text),
    ("placement.max_per_node", "/placement/max_per_node", Kind::Number),
    ("placement.grace_s", "/placement/grace_s", Kind::Number),
    ("build.folder", "/containerfile/folder", Kind::Text),
    ("build.preset", "/containerfile/preset", Kind::Text),
    ("build.publish", "/containerfile/publish", Kind::Text),
    ("build.spa", "/containerfile/spa", Kind::Flag),
    ("build.containerfile", "/containerfile/path", Kind::Text),
    ("build.target", "/containerfile/target", Kind::Text),
    ("build.platform", "/containerfile/platform", Kind::Text),
    ("build.pull", "/containerfile/pull", Kind::Flag),
];
const CONTEXT: (&str, &str, Kind) = ("build.context", "/containerfile/context", Kind::Text);
/// Words that go on with a name of the user's.
const NAMED: [(&str, &str); 2] =
    [("build.args.", "/containerfile/args"), ("build.labels.", "/containerfile/labels")];
const TYPE: &str = "/probe/check/type";
/// Settings of the build that a Containerfile of one's own has no use for.
const OF_PRESETS: [&str; 3] = ["preset", "publish", "spa"];

/// Those that cannot be taken back to a default of their own.
const NEED_A_VALUE: [&str; 4] = ["run.replicas", "probe.type", "probe.path", "probe.command"];

/// What is set, by its word, in the order of the documentation.
pub(crate) fn flat(settings: &Value) -> Vec<(String, Value)> {
    let said = |value: &&Value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty());
    let at = |place: &str| settings.pointer(place).filter(said).cloned();
    let keys = KEYS.iter().filter_map(|(word, place, _)| Some(((*word).to_owned(), at(place)?)));
    // The root of the source is what no context means.
    let context = at(CONTEXT.1).filter(|folder| folder != ".").map(|folder| (CONTEXT.0.to_owned(), folder));
    let named = NAMED.iter().flat_map(|(word, place)| {
        let group = at(place).and_then(|group| group.as_object().cloned()).unwrap_or_default();
        group.into_iter().map(move |(name, value)| (format!("{word}{name}"), value))
    });
    keys.chain(context).chain(named).collect()
}

/// A value as people write it.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What differs between two states of an app's settings.
pub(crate) fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let (before, after) = (flat(before), flat(after));
    let lookup = |all: &[(String, Value)]| all.iter().cloned().collect::<BTreeMap<_, _>>();
    let (old, new) = (lookup(&before), lookup(&after));
    let mut seen = BTreeSet::new();
    let words = after.iter().chain(&before).map(|(word, _)| word).filter(|word| seen.insert(*word));
    let differing = words.filter(|word| old.get(*word) != new.get(*word));
    let change = |word: &String| {
        let (before, after) = (old.get(word).map(text), new.get(word).map(text));
        let kind = match (&before, &after) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        };
        let impact = match word.split('.').next() {
            Some("build") => "build",
            Some("deploy" | "placement") => "nothing",
            _ => "containers",
        };
        let (label, kind, impact) = (word.clone(), kind.to_owned(), impact.to_owned());
        Change { field: word.clone(), label, kind, before, after, impact }
    };
    differing.map(change).collect()
}

/// The API's change of settings that leads from one state to the other. It takes groups as a whole.
pub(crate) fn patch(before: &Value, after: &Value) -> Value {
    let members = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let (before, after) = (members(before), members(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differing = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    differing.map(|name| (name.clone(), after.get(name).cloned().unwrap_or_default())).collect()
}

/// The app's settings with what a project file says in place of theirs; `said` is [`Project::settings`].
///
/// [`Project::settings`]: crate::project::Project::settings
pub(crate) fn merged(present: &Value, said: &Value) -> Value {
    let mut settings = present.as_object().cloned().unwrap_or_default();
    for (name, value) in said.as_object().into_iter().flatten() {
        let group = settings.entry(name.clone()).or_insert(Value::Null);
        match (group.as_object_mut(), value.as_object()) {
            (Some(old), Some(new)) => merge_group(old, new),
            _ => *group = value.clone(),
        }
    }
    Value::Object(settings)
}

fn merge_group(old: &mut Map<String, Value>, new: &Map<String, Value>) {
    // A file of one's own takes the place of what presets are told, and the other way round.
    for setting in OF_PRESETS {
        if new.contains_key("path") {
            old.remove(setting);
        } else if new.contains_key(setting) {
            old.remove("path");
        }
    }
    for (name, value) in new {
        match (old.get_mut(name).and_then(Value::as_object_mut), value.as_object()) {
            // A check of the same type keeps what is not said of it.
            (Some(check), Some(said)) if name == "check" && check.get("type") == said.get("type") => {
                check.extend(said.clone());
            }
            _ => drop(old.insert(name.clone(), value.clone())),
        }
    }
}

/// The settings after `pairs`, each `KEY=VALUE`; `KEY=` takes the default.
pub(crate) fn set(present: &Value, pairs: &[String]) -> Result<Value> {
    let mut settings = present.clone();
    let mut given = Vec::new();
    for pair in pairs {
        let (word, value) = pair.split_once('=').ok_or_else(|| {
            Failure::usage(format!("`{pair}` must be KEY=VALUE, for example run.port=8080"))
        })?;
        given.push((word, value));
    }
    // The type first: what else is said of the check is said of that.
    given.sort_by_key(|(word, _)| *word != "probe.type");
    for (word, value) in &given {
        let (place, kind) = find(word)?;
        let others = || given.iter().map(|(word, _)| *word);
        if value.is_empty() {
            unset(&mut settings, word, &place)?;
            continue;
        }
        let value = read(word, kind, value)?;
        match *word {
            "probe.type" => check_of_type(&mut settings, &text(&value)),
            "probe.path" | "probe.status" => need_type(&mut settings, word, "http", others())?,
            "probe.command" => need_type(&mut settings, word, "command", others())?,
            "build.preset" | "build.publish" | "build.spa"
                if others().all(|other| other != "build.containerfile") =>
            {
                put(&mut settings, "/containerfile/path", Value::Null);
            }
            "build.containerfile" => {
                for setting in OF_PRESETS {
                    let place = format!("/containerfile/{setting}");
                    let said = others().any(|other| other.strip_prefix("build.") == Some(setting));
                    if !said && settings.pointer(&place).is_some() {
                        put(&mut settings, &place, Value::Null);
                    }
                }
            }
            _ => {}
        }
        put(&mut settings, &place, value);
    }
    let check = settings.pointer("/probe/check");
    if check.is_some_and(|check| check["type"] == "command" && check["command"].is_null()) {
        return Err(Failure::usage("probe.command is missing: the program to run in the container"));
    }
    Ok(settings)
}

fn find(word: &str) -> Result<(String, Kind)> {
    for (start, place) in NAMED {
        if let Some(name) = word.strip_prefix(start).filter(|name| !name.is_empty()) {
            return Ok((format!("{place}/{}", name.replace('~', "~0").replace('/', "~1")), Kind::Text));
        }
    }
    let all = || KEYS.iter().chain([&CONTEXT]);
    if let Some((_, place, kind)) = all().find(|(known, ..)| *known == word) {
        return Ok(((*place).to_owned(), *kind));
    }
    let near = nearest(word, all().map(|(known, ..)| *known));
    Err(Failure::usage(format!("there is no setting `{word}`")).hint(match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`wh settings` lists those that are set, docs/project-file.md all".to_owned(),
    }))
}

pub(crate) fn read(word: &str, kind: Kind, value: &str) -> Result<Value> {
    match kind {
        Kind::Text => Ok(json!(value)),
        Kind::Number => value
            .parse::<u32>()
            .map(Value::from)
            .map_err(|_| Failure::usage(format!("{word} must be a whole number, not `{value}`"))),
        Kind::Flag => value
            .parse::<bool>()
            .map(Value::from)
            .map_err(|_| Failure::usage(format!("{word} must be true or false, not `{value}`"))),
        Kind::Words if value.trim_start().starts_with('[') => {
            serde_json::from_str::<Vec<String>>(value).map(Value::from).map_err(|_| {
                let example = format!("for example {word}='[\"serve\", \"--name\", \"a b\"]'");
                Failure::usage(format!("{word} is no list of words in quotes")).hint(example)
            })
        }
        Kind::Words => Ok(value.split_whitespace().collect()),
    }
}

fn unset(settings: &mut Value, word: &str, place: &str) -> Result<()> {
    if NEED_A_VALUE.contains(&word) {
        return Err(Failure::usage(format!("{word} needs a value: {word}=VALUE")));
    }
    let (group, name) = place.rsplit_once('/').unwrap_or(("", place));
    if let Some(group) = settings.pointer_mut(group).and_then(Value::as_object_mut) {
        group.remove(&unescaped(name));
    }
    Ok(())
}

/// A path is for HTTP, a command for a command: saying one without a type says the type too.
fn need_type<'a>(
    settings: &mut Value,
    word: &str,
    wanted: &str,
    mut given: impl Iterator<Item = &'a str>,
) -> Result<()> {
    if settings.pointer(TYPE).is_some_and(|kind| kind == wanted) {
        return Ok(());
    }
    if given.any(|other| other == "probe.type") {
        return Err(Failure::usage(format!("{word} is for probe.type={wanted}")));
    }
    check_of_type(settings, wanted);
    Ok(())
}

fn check_of_type(settings: &mut Value, kind: &str) {
    if settings.pointer(TYPE).is_some_and(|present| present == kind) {
        return;
    }
    let check = if kind == "http" { json!({ "type": kind, "path": "/" }) } else { json!({ "type": kind }) };
    put(settings, "/probe/check", check);
}

pub(crate) fn put(settings: &mut Value, place: &str, value: Value) {
    let mut at = settings;
    for part in place.split('/').skip(1) {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[unescaped(part)];
    }
    *at = value;
}

/// A part of a place, which is a JSON pointer (RFC 6901).
fn unescaped(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// Reads `512`, `512M`, `512MiB`, `2G` or `2GiB`; MiB.
pub(crate) fn memory(text: &str) -> Result<u32, String> {
    let split = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "m" | "mb" | "mi" | "mib" => 1,
        "g" | "gb" | "gi" | "gib" => 1024,
        _ => return Err("must be a number with M or G, for example 512M or 2G".to_owned()),
    };
    let memory = number.parse::<u32>().ok().and_then(|number| number.checked_mul(factor));
    memory.ok_or_else(|| "must be a whole number with M or G, for example 512M or 2G".to_owned())
}

/// Reads `0.5`, `2` or `500m`; thousandths of a core.
pub(crate) fn cpu(text: &str) -> Result<u32, String> {
    let wrong = || "must be a number of cores, for example 0.5, 2 or 500m".to_owned();
    if let Some(millis) = text.strip_suffix('m') {
        return millis.parse().map_err(|_| wrong());
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) || whole.is_empty() {
        return Err(wrong());
    }
    let whole: u32 = whole.parse().map_err(|_| wrong())?;
    let part: u32 = format!("{part:0<3}").parse().map_err(|_| wrong())?;
    whole.checked_mul(1000).and_then(|millis| millis.checked_add(part)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present() -> Value {
        json!({
            "port": null, "replicas": 1, "command": null, "containerfile": null,
            "deploy": { "strategy": "blue-green", "pre_command": null, "post_command": null },
            "probe": { "check": { "type": "tcp" }, "interval_s": 1, "timeout_s": 5, "start_within_s": 30, "failures": 3 },
            "resources": { "memory_mb": 512, "cpu_millis": 1000, "pids": 512 },
            "crash_guard": { "restarts": 5, "calm_s": 300 },
        })
    }

    fn patched(pairs: &[&str]) -> Value {
        let pairs: Vec<String> = pairs.iter().map(|&pair| pair.to_owned()).collect();
        patch(&present(), &set(&present(), &pairs).expect("valid"))
    }

    fn refused(pairs: &[&str]) -> (String, Option<String>) {
        let pairs: Vec<String> = pairs.iter().map(|&pair| pair.to_owned()).collect();
        let failure = set(&present(), &pairs).expect_err("refused");
        (failure.message, failure.hint)
    }

    fn lines(changes: &[Change]) -> Vec<String> {
        let of = |side: &Option<String>| side.clone().unwrap_or_default();
        changes.iter().map(|one| format!("{}: {} > {}", one.label, of(&one.before), of(&one.after))).collect()
    }

    #[test]
    fn a_change_sends_its_group_whole_and_nothing_else() {
        assert_eq!(patched(&["run.port=3000"]), json!({ "port": 3000 }));
        assert_eq!(
            patched(&["resources.memory_mb=64"]),
            json!({ "resources": { "memory_mb": 64, "cpu_millis": 1000, "pids": 512 } })
        );
        assert_eq!(patched(&["run.command=serve --fast"]), json!({ "command": ["serve", "--fast"] }));
        assert_eq!(patched(&["run.command=[\"a b\"]"]), json!({ "command": ["a b"] }));
        assert_eq!(patched(&["build.args.A=1=2"]), json!({ "containerfile": { "args": { "A": "1=2" } } }));
        assert_eq!(
            patched(&["resources.pids="]),
            json!({ "resources": { "memory_mb": 512, "cpu_millis": 1000 } })
        );
        assert_eq!(patched(&["run.replicas=1"]), json!({}));
        assert_eq!(
            patched(&[
                "isolation.read_only=true",
                "isolation.tmpfs=/data=8 /cache=16",
                "isolation.disk_mb=64"
            ]),
            json!({ "isolation": { "read_only": true, "tmpfs": ["/data=8", "/cache=16"], "disk_mb": 64 } })
        );
    }

    #[test]
    fn what_is_said_of_a_probe_says_its_type() {
        let check = |pairs: &[&str]| patched(pairs)["probe"]["check"].clone();
        assert_eq!(check(&["probe.status=204"]), json!({ "type": "http", "path": "/", "status": 204 }));
        assert_eq!(check(&["probe.path=/up", "probe.type=http"]), json!({ "type": "http", "path": "/up" }));
        assert_eq!(
            check(&["probe.command=pg_isready"]),
            json!({ "type": "command", "command": ["pg_isready"] })
        );
        assert_eq!(refused(&["probe.type=tcp", "probe.path=/up"]).0, "probe.path is for probe.type=http");
        assert!(refused(&["probe.type=command"]).0.starts_with("probe.command is missing"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(
            refused(&["resources.memory=64"]),
            (
                "there is no setting `resources.memory`".to_owned(),
                Some("did you mean `resources.memory_mb`?".to_owned())
            )
        );
        assert_eq!(refused(&["run.port=http"]).0, "run.port must be a whole number, not `http`");
        assert!(refused(&["run.port"]).0.contains("KEY=VALUE"));
        assert!(refused(&["run.replicas="]).0.contains("needs a value"));
        assert!(refused(&["run.command=[serve]"]).0.contains("run.command is no list"));
    }

    #[test]
    fn a_preset_and_a_containerfile_take_each_others_place() {
        let mut app = present();
        app["containerfile"] = json!({ "path": "Containerfile", "context": ".", "args": {} });
        let after = set(&app, &["build.preset=node".to_owned()]).expect("valid");
        assert_eq!(
            lines(&changes(&app, &after)),
            ["build.preset:  > node", "build.containerfile: Containerfile > "]
        );
        let after = merged(&app, &json!({ "containerfile": { "preset": "node" } }));
        assert_eq!(after["containerfile"], json!({ "preset": "node", "context": ".", "args": {} }));
        let site = json!({ "containerfile": { "publish": "dist", "spa": true } });
        let own = json!({ "containerfile": { "path": "Containerfile" } });
        assert_eq!(merged(&site, &own), own);
        assert_eq!(merged(&own, &site), site);
    }

    #[test]
    fn a_file_changes_what_it_says_and_nothing_else() {
        let said = json!({ "port": 8080, "resources": { "memory_mb": 256 }, "containerfile": { "context": "." },
                           "probe": { "check": { "type": "tcp" }, "failures": 5 } });
        let after = merged(&present(), &said);
        assert_eq!(
            lines(&changes(&present(), &after)),
            ["run.port:  > 8080", "probe.failures: 3 > 5", "resources.memory_mb: 512 > 256"]
        );
        assert_eq!(after["resources"]["cpu_millis"], 1000);
        assert_eq!(merged(&Value::Null, &said), said);
    }

    #[test]
    fn names_of_the_users_may_have_slashes_and_flags_are_true_or_false() {
        let patch = patched(&["build.labels.org.example/team=shop", "build.args.A=1", "build.pull=true"]);
        assert_eq!(
            patch,
            json!({ "containerfile": { "labels": { "org.example/team": "shop" }, "args": { "A": "1" }, "pull": true } })
        );
        assert_eq!(refused(&["build.pull=yes"]).0, "build.pull must be true or false, not `yes`");
    }

    #[test]
    fn amounts_are_read_as_people_write_them() {
        assert_eq!(["512", "512M", "512MiB", "2g"].map(memory), [Ok(512), Ok(512), Ok(512), Ok(2048)]);
        assert!(memory("1.5G").is_err() && memory("").is_err() && memory("5T").is_err());
        assert_eq!(["0.5", "2", "500m", "1.25"].map(cpu), [Ok(500), Ok(2000), Ok(500), Ok(1250)]);
        assert!(cpu("half").is_err() && cpu("").is_err() && cpu(".5").is_err() && cpu("0.0001").is_err());
    }
}
