//! What an event says to people. Values of variables are in no event, and so in no sentence.

use std::collections::BTreeSet;

use serde_json::Value;

use super::store::Event;
use crate::apps::Settings;
use crate::deployments::create;
use crate::healing::corrections;
use crate::releases::compare;

/// Who did what. An action of another version is at least named.
pub fn of(event: &Event) -> String {
    let detail = &event.detail;
    let of = |name: &str| text(&detail[name]);
    let who = who(event);
    let deed = match event.action.as_str() {
        "deployment.live" => {
            return format!("Deployment {} is live with release {}", of("number"), of("release"));
        }
        "deployment.fail" => return format!("Deployment {} failed: {}", of("number"), of("message")),
        "app.crash-loop" | "app.disk-over" => return of_an_instance(event, who),
        "app.wait" => {
            return format!("An instance on {}, which is gone, waits: {}", of("node"), of("why"));
        }
        "app.correct" => {
            let deed = serde_json::from_value(detail["deed"].clone()).ok();
            return format!("{who} {}: {}", corrections::words(deed), of("reason"));
        }
        "domain.verify" => return format!("The domain {} is verified and served", of("domain")),
        "domain.miss" => {
            return format!("The record of the domain {} is missing: {}", of("domain"), of("why"));
        }
        "domain.return" => return format!("The record of the domain {} is back", of("domain")),
        "domain.lapse" => {
            return format!("The domain {} is not served any more: {}", of("domain"), of("why"));
        }
        "domain.expire" => return format!("The domain {} was never verified and is forgotten", of("domain")),
        "app.create" => "created the app".to_owned(),
        "app.update" => changed(&detail["before"], &detail["after"]),
        "app.stop" => "stopped the app".to_owned(),
        "app.start" => format!("started the app with deployment {}", of("deployment")),
        "app.restart" if !detail["instance"].is_null() => {
            format!("restarted an instance on {} with deployment {}", of("node"), of("deployment"))
        }
        "app.restart" => format!("restarted the app with deployment {}", of("deployment")),
        "app.scale" => format!("scaled the app from {} to {} instances", of("before"), of("after")),
        "app.move-zone" => format!("moved the app from {} to the zone {}", of("from"), of("zone")),
        "app.delete" => "deleted the app".to_owned(),
        "app.undelete" => "brought the app back".to_owned(),
        "deployment.create" => began(detail),
        "deployment.cancel" => format!("cancelled deployment {}", of("number")),
        "deployment.front" => format!("moved deployment {} to the front of the queue", of("number")),
        "env.update" => variables(detail),
        "env.reveal" => "looked at the values of the variables".to_owned(),
        "git.access" => format!("gave the app a {} for {}", of("kind"), of("host")),
        "git.forget" => format!("took the app's access to {} away", of("host")),
        "git.trust-host" => format!("trusts {} by its key {} from now on", of("host"), of("fingerprint")),
        "domain.add" => format!("added the domain {}", of("domain")),
        "domain.remove" => format!("removed the domain {}", of("domain")),
        "domain.move" => format!("moved the domain {} from {} to {}", of("domain"), of("from"), of("to")),
        "domain.path" => format!("led {}{} to {}", of("domain"), of("path"), of("app")),
        "domain.path-end" => format!("led {}{} to the app again", of("domain"), of("path")),
        "routes.update" => routing(detail),
        "stream.add" => format!("published port {}/{} for the app", of("port"), of("protocol")),
        "stream.update" => format!("changed the stream at port {}/{}", of("port"), of("protocol")),
        "stream.remove" => format!("closed port {}/{}", of("port"), of("protocol")),
        "secret.scrubbed" => format!("took the value of the variable {} out of the log", of("variable")),
        "exec.start" if detail["fresh"] == true => {
            format!("ran a program in a container of its own of release {}", of("release"))
        }
        "exec.start" if detail["terminal"] == true => format!("opened a terminal on {}", of("node")),
        "exec.start" => format!("ran a program in an instance on {}", of("node")),
        "files.read" => format!("copied {} out of an instance on {}", of("path"), of("node")),
        "files.write" => format!("copied files to {} of an instance on {}", of("path"), of("node")),
        other => format!("did {other}"),
    };
    format!("{who} {deed}")
}

/// What an instance did on the node that tells it.
fn of_an_instance(event: &Event, node: &str) -> String {
    let of = |name: &str| text(&event.detail[name]);
    let release = of("release");
    if event.action == "app.disk-over" {
        let (used, limit) = (of("used_mb"), of("limit_mb"));
        return format!(
            "An instance of release {release} on {node} has written {used} MiB to its disk, more than its {limit} MiB"
        );
    }
    format!("The crash guard stopped an instance of release {release} on {node}: {}", of("message"))
}

fn who(event: &Event) -> &str {
    match (&event.name, event.actor.split_once(':')) {
        (Some(name), _) if !name.is_empty() => name,
        (_, Some((_, name))) => name,
        _ => "The control plane",
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "?".to_owned(),
        other => other.to_string(),
    }
}

/// What a deployment is to do, with what its author says about it.
fn began(detail: &Value) -> String {
    let of = |name: &str| text(&detail[name]);
    let number = of("number");
    let source = &detail["source"];
    let deed = match detail["kind"].as_str().unwrap_or_default() {
        "rollback" if detail["release"].is_null() => format!("rolled back with deployment {number}"),
        "rollback" => format!("rolled back to release {}{}", of("release"), from(&detail["from"])),
        "settings" if detail["release"].is_null() => {
            format!("applied what was pending with deployment {number}")
        }
        "settings" => format!("applied what was pending as release {}", of("release")),
        _ => match source["type"].as_str() {
            Some("git") => {
                format!("began deployment {number} of {} of {}", text(&source["ref"]), text(&source["url"]))
            }
            Some("image") => format!("began deployment {number} of the image {}", text(&source["reference"])),
            Some("archive") => format!("began deployment {number} of an upload"),
            _ => format!("began deployment {number}"),
        },
    };
    match detail["message"].as_str() {
        Some(message) if !message.is_empty() && !says_itself(detail, message) => format!("{deed}: {message}"),
        _ => deed,
    }
}

/// Whether the author of a rollback said nothing, so that the deed is all there is to tell.
fn says_itself(detail: &Value, message: &str) -> bool {
    let number = |name: &str| detail[name].as_i64().and_then(|number| i32::try_from(number).ok());
    number("release").is_some_and(|to| message == create::way_back(number("from"), to))
}

fn from(release: &Value) -> String {
    if release.is_null() { String::new() } else { format!(" from release {}", text(release)) }
}

/// What differs between two settings; of those of another version, that they do.
fn changed(before: &Value, after: &Value) -> String {
    let read = |settings: &Value| serde_json::from_value::<Settings>(settings.clone()).ok();
    let lines: Vec<String> = match (read(before), read(after)) {
        (Some(before), Some(after)) => {
            compare::settings(&before, &after).changes.iter().map(ToString::to_string).collect()
        }
        _ => Vec::new(),
    };
    if lines.is_empty() {
        "changed settings".to_owned()
    } else {
        format!("changed settings: {}", lines.join("; "))
    }
}

/// Which options changed, and for which domain; closing and opening are told as such.
fn routing(detail: &Value) -> String {
    let (before, after) = (&detail["before"], &detail["after"]);
    let sides = [before, after].into_iter().filter_map(Value::as_object);
    let keys: BTreeSet<&String> = sides.flat_map(serde_json::Map::keys).collect();
    let of = detail["domain"].as_str();
    let whose = |what: &str| of.map_or_else(|| what.to_owned(), |domain| format!("{what} at {domain}"));
    let mut deeds = Vec::new();
    if keys.iter().any(|key| *key == "maintenance") {
        deeds.push(match (before["maintenance"].is_object(), after["maintenance"].is_object()) {
            (true, true) => whose("changed what visitors read during maintenance"),
            (_, true) => whose("closed the app for maintenance"),
            (..) => whose("ended the maintenance"),
        });
    }
    let others: Vec<&str> = keys.iter().map(|key| key.as_str()).filter(|key| *key != "maintenance").collect();
    if !others.is_empty() {
        let what = whose("changed the routing");
        deeds.push(format!("{what}: {}", others.join(", ")));
    }
    if deeds.is_empty() { "changed the routing".to_owned() } else { deeds.join("; ") }
}

fn variables(detail: &Value) -> String {
    let listed = |list: &Value| list.as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let flagged = |to: bool| {
        let names = detail["build_time"].as_object().into_iter().flatten();
        names.filter(|(_, flag)| **flag == to).map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let deeds = [
        ("set", listed(&detail["set"]), ""),
        ("removed", listed(&detail["unset"]), ""),
        ("let builds mount", flagged(true), ""),
        ("kept", flagged(false), " from builds"),
    ];
    let deeds = deeds.iter().filter(|(_, names, _)| !names.is_empty()).map(|(verb, names, rest)| {
        let noun = if names.len() == 1 { "the variable" } else { "the variables" };
        format!("{verb} {noun} {}{rest}", names.join(", "))
    });
    let deeds = deeds.collect::<Vec<_>>();
    if deeds.is_empty() { "changed no variable".to_owned() } else { deeds.join("; ") }
}
