//! What the platform tells each container, and each build that asks, about itself.

use std::collections::BTreeMap;

use protocol::ids::InstanceId;
use protocol::job::Source;
use protocol::labels::Labels;
use serde::Serialize;

use crate::zones;

/// How all names begin but `PORT`. No user may set such a variable: nobody could rely on what it says.
pub const PREFIX: &str = "WISEHOSTING_";

/// Names, and what they say.
const ALL: [(&str, &str); 12] = [
    ("PORT", "the port to listen on; a variable of the app's own wins"),
    ("WISEHOSTING_APP", "the app's name"),
    ("WISEHOSTING_PROJECT", "the project's name"),
    ("WISEHOSTING_URL", "where the app is served"),
    ("WISEHOSTING_HOST", "the host of that address"),
    ("WISEHOSTING_RELEASE", "the release's number"),
    ("WISEHOSTING_COMMIT", "the commit that was built, of a source in git"),
    ("WISEHOSTING_BRANCH", "the branch or tag that was named, of a source in git"),
    ("WISEHOSTING_INSTANCE", "the instance's id"),
    ("WISEHOSTING_NODE", "the node that the instance runs on"),
    ("WISEHOSTING_REGION", "that node's label `region`, if it has one"),
    ("WISEHOSTING_ZONE", "that node's label `zone`, if it has one"),
];

/// Where an app is served.
#[derive(Debug)]
pub struct Place {
    pub app: String,
    pub project: String,
    pub host: String,
    /// Of a direct zone.
    pub port: Option<i32>,
}

impl Place {
    /// What is so for the app, whatever runs.
    pub fn variables(&self, scheme: &str) -> BTreeMap<String, String> {
        let Self { app, project, host, port } = self;
        let url = zones::url(scheme, host, *port);
        let pairs = [("APP", app), ("PROJECT", project), ("HOST", host), ("URL", &url)];
        pairs.into_iter().map(|(name, value)| named(name, value)).collect()
    }
}

/// Adds what is so for a release.
pub fn add_release(
    to: &mut BTreeMap<String, String>,
    number: i32,
    commit: Option<&str>,
    source: Option<&serde_json::Value>,
) {
    to.extend([named("RELEASE", &number.to_string())]);
    to.extend(commit.map(|commit| named("COMMIT", commit)));
    let source = source.and_then(|source| serde_json::from_value(source.clone()).ok());
    to.extend(source.as_ref().and_then(|source| branch(source, commit)));
}

/// The branch or tag of a source, unless it names the commit itself.
pub fn branch(source: &Source, commit: Option<&str>) -> Option<(String, String)> {
    let Source::Git { r#ref, .. } = source else { return None };
    let is_commit = match commit {
        Some(commit) => commit.starts_with(r#ref.as_str()),
        None => r#ref.len() == 40 && r#ref.bytes().all(|byte| byte.is_ascii_hexdigit()),
    };
    (!is_commit).then(|| named("BRANCH", r#ref))
}

/// Adds what is so for an instance.
pub fn add_instance(to: &mut BTreeMap<String, String>, id: InstanceId, node: &str, labels: &Labels) {
    to.extend([named("INSTANCE", &id.to_string())]);
    add_node(to, node, labels);
}

/// Adds what is so for a container on a node.
pub fn add_node(to: &mut BTreeMap<String, String>, node: &str, labels: &Labels) {
    to.extend([named("NODE", node)]);
    to.extend(labels.get("region").map(|region| named("REGION", region)));
    to.extend(labels.get("zone").map(|zone| named("ZONE", zone)));
}

fn named(name: &str, value: &str) -> (String, String) {
    (format!("{PREFIX}{name}"), value.to_owned())
}

/// One of them as clients see it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Predefined {
    name: &'static str,
    /// What it says, in words.
    about: &'static str,
    /// Null where instances differ, or before the first release.
    value: Option<String>,
}

/// All of them, with the values that are `known`.
pub fn list(known: &BTreeMap<String, String>) -> Vec<Predefined> {
    let shown = |(name, about)| Predefined { name, about, value: known.get(name).cloned() };
    ALL.into_iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(commit: Option<&str>, source: serde_json::Value) -> BTreeMap<String, String> {
        let place = Place {
            app: "hello".to_owned(),
            project: "shop".to_owned(),
            host: "hello.example.com".to_owned(),
            port: None,
        };
        let mut told = place.variables("https");
        add_release(&mut told, 7, commit, Some(&source));
        let labels = Labels::from([("region".to_owned(), "eu".to_owned())]);
        add_instance(&mut told, InstanceId(uuid::Uuid::nil()), "w1", &labels);
        told
    }

    #[test]
    fn a_container_is_told_what_it_is() {
        let source = json!({ "type": "git", "url": "https://git.example.com/a.git", "ref": "main" });
        let told = told(Some("0123456789abcdef"), source);
        let lines: Vec<String> = told.iter().map(|(name, value)| format!("{name}={value}")).collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        WISEHOSTING_APP=hello
        WISEHOSTING_BRANCH=main
        WISEHOSTING_COMMIT=0123456789abcdef
        WISEHOSTING_HOST=hello.example.com
        WISEHOSTING_INSTANCE=00000000-0000-0000-0000-000000000000
        WISEHOSTING_NODE=w1
        WISEHOSTING_PROJECT=shop
        WISEHOSTING_REGION=eu
        WISEHOSTING_RELEASE=7
        WISEHOSTING_URL=https://hello.example.com
        ");
        let listed = list(&told);
        assert!(told.keys().all(|name| listed.iter().any(|one| one.name == name)), "all are explained");
    }

    #[test]
    fn a_commit_is_no_branch_and_an_image_has_neither() {
        let source = json!({ "type": "git", "url": "https://git.example.com/a.git", "ref": "0123456" });
        assert!(!told(Some("0123456789abcdef"), source).contains_key("WISEHOSTING_BRANCH"));
        let image = told(None, json!({ "type": "image", "reference": "busybox" }));
        assert!(!image.contains_key("WISEHOSTING_BRANCH") && !image.contains_key("WISEHOSTING_COMMIT"));
    }
}
