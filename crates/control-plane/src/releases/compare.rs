//! What differs between two releases, or between the release that serves and the settings that the next one takes, and
//! what it takes until a difference serves. Values of variables are compared and never told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use protocol::job::{Containerfile, Preset, Source};
use protocol::spec::{CrashGuard, Isolation, Probe, ProbeCheck, Resources, Tmpfs};
use serde::Serialize;

use super::store::Snapshot;
use crate::apps::{Deploy, Settings, Strategy};
use crate::placement::{self, AntiAffinity, Constraint, Placement};
use crate::variables::{Open, Values};

/// A release with its variables open.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    pub release: &'a Snapshot,
    pub variables: &'a Values,
    /// Those that its image was built with; none when nobody knows or nothing was built.
    pub built_with: Option<&'a Values>,
}

/// What a change takes until it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Impact {
    /// Nothing: it says where something comes from.
    Nothing,
    /// New containers of an image that is there. The old ones serve until the new ones are healthy.
    Containers,
    /// A new image.
    Build,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    Added,
    Removed,
    Changed,
}

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = ReleaseChange)]
pub struct Change {
    /// For programs: `image`, `port`, `resources.memory_mb`, `variables.NAME`, `build_variables.NAME` and so on.
    pub field: String,
    /// For people.
    pub label: String,
    pub kind: ChangeKind,
    /// In words. Null where there was nothing, and for variables.
    pub before: Option<String>,
    pub after: Option<String>,
    pub impact: Impact,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = &self.label;
        match (self.kind, &self.before, &self.after) {
            (ChangeKind::Added, _, Some(after)) => write!(f, "{label} added: {after}"),
            (ChangeKind::Added, ..) => write!(f, "{label} added"),
            (ChangeKind::Removed, Some(before), _) => write!(f, "{label} removed: {before}"),
            (ChangeKind::Removed, ..) => write!(f, "{label} removed"),
            (ChangeKind::Changed, Some(before), Some(after)) => write!(f, "{label}: {before} → {after}"),
            (ChangeKind::Changed, ..) => write!(f, "{label} changed"),
        }
    }
}

/// All that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = ReleaseDifference)]
pub struct Difference {
    pub changes: Vec<Change>,
    /// The most that one of the changes takes.
    pub impact: Impact,
}

impl Difference {
    /// Whether something would change without a build.
    pub fn needs_containers(&self) -> bool {
        self.changes.iter().any(|change| change.impact == Impact::Containers)
    }

    /// What a deployment without a build brings, in at most `most` characters.
    pub fn summary(&self, most: usize) -> String {
        let lines = self.changes.iter().filter(|change| change.impact == Impact::Containers);
        let text = lines.map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let mut clean = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        let mut short: String = clean.by_ref().take(most).collect();
        if clean.next().is_some() {
            short.pop();
            short.push('…');
        }
        short
    }
}

/// What would change if `after` served in place of `before`. Both have their images: nothing is built.
pub fn releases(before: Side<'_>, after: Side<'_>) -> Difference {
    let mut found = Found::default();
    found.image(before.release, after.release);
    let (old, new) = (&before.release.settings.0, &after.release.settings.0);
    found.build_inputs(old, new, Impact::Nothing);
    found.build_variables(before.built_with, after.built_with, Impact::Nothing);
    found.settings(old, new);
    found.variables(before.variables, after.variables);
    found.difference()
}

/// What waits: how the release that serves differs from what the app's settings and variables ask for by now.
pub fn pending(live: Side<'_>, settings: &Settings, asked: &Open) -> Difference {
    let mut found = Found::default();
    let served = &live.release.settings.0;
    found.build_inputs(served, settings, Impact::Build);
    found.build_variables(live.built_with, Some(&asked.for_builds()), Impact::Build);
    found.settings(served, &settings.for_image_of(served));
    found.variables(live.variables, &asked.values);
    found.difference()
}

/// What somebody changed: all settings count, also those that are no part of a release.
pub fn settings(before: &Settings, after: &Settings) -> Difference {
    let mut found = Found::default();
    found.build_inputs(before, after, Impact::Build);
    found.settings(before, after);
    found.deploy(&before.deploy, &after.deploy);
    found.placement(&before.placement, &after.placement);
    found.difference()
}

#[derive(Default)]
struct Found(Vec<Change>);

impl Found {
    fn difference(self) -> Difference {
        let impact = self.0.iter().map(|change| change.impact).max().unwrap_or(Impact::Nothing);
        Difference { changes: self.0, impact }
    }

    fn note(
        &mut self,
        (field, label): (&str, &str),
        impact: Impact,
        before: Option<String>,
        after: Option<String>,
    ) {
        let kind = match (&before, &after) {
            _ if before == after => return,
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            _ => ChangeKind::Changed,
        };
        self.0.push(Change { field: field.to_owned(), label: label.to_owned(), kind, before, after, impact });
    }

    fn image(&mut self, before: &Snapshot, after: &Snapshot) {
        let id = |release: &Snapshot| Some(short(release.image_id.trim_start_matches("sha256:")));
        self.note(("image", "image"), Impact::Containers, id(before), id(after));
        self.note(("source", "source"), Impact::Nothing, source(before), source(after));
        let commit = |release: &Snapshot| release.commit_id.as_deref().map(short);
        self.note(("commit", "commit"), Impact::Nothing, commit(before), commit(after));
    }

    fn build_inputs(&mut self, before: &Settings, after: &Settings, impact: Impact) {
        let of = |settings: &Settings| settings.containerfile.clone().unwrap_or_default();
        // Taken apart, here and below, so that a new setting cannot be forgotten.
        let Containerfile {
            folder,
            path,
            preset,
            publish,
            spa,
            context,
            target,
            args,
            labels,
            platform,
            pull,
        } = of(before);
        let next = of(after);
        let named = |preset: Option<Preset>| preset.map(|preset| preset.to_string());
        self.note(("containerfile.folder", "folder"), impact, folder, next.folder);
        self.note(("containerfile.preset", "preset"), impact, named(preset), named(next.preset));
        self.note(("containerfile.publish", "published folder"), impact, publish, next.publish);
        let every = |spa: Option<bool>| spa.map(|spa| spa.to_string());
        self.note(("containerfile.spa", "index.html for every path"), impact, every(spa), every(next.spa));
        self.note(("containerfile.path", "Containerfile"), impact, path, next.path);
        self.note(("containerfile.context", "build context"), impact, Some(context), Some(next.context));
        self.note(("containerfile.target", "build target"), impact, target, next.target);
        self.note(("containerfile.platform", "platform"), impact, platform, next.platform);
        let pulls = |pull: bool| Some(if pull { "always" } else { "when missing" }.to_owned());
        self.note(("containerfile.pull", "base image is pulled"), impact, pulls(pull), pulls(next.pull));
        self.entries(("containerfile.args", "build argument"), impact, &args, &next.args);
        self.entries(("containerfile.labels", "image label"), impact, &labels, &next.labels);
    }

    fn entries(
        &mut self,
        (field, label): (&str, &str),
        impact: Impact,
        before: &BTreeMap<String, String>,
        after: &BTreeMap<String, String>,
    ) {
        for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let named = (format!("{field}.{name}"), format!("{label} {name}"));
            self.note((&named.0, &named.1), impact, before.get(name).cloned(), after.get(name).cloned());
        }
    }

    fn settings(&mut self, before: &Settings, after: &Settings) {
        // How a release comes to serve, and where, is no part of what it is.
        let Settings {
            port,
            replicas,
            exclusive,
            probe,
            resources,
            isolation,
            crash_guard,
            command,
            containerfile: _,
            deploy: _,
            placement: _,
        } = before;
        let port_of = |port: Option<u16>| port.map(|port| port.to_string());
        self.runs(("port", "port"), port_of(*port), port_of(after.port));
        self.value(("replicas", "replicas"), replicas, &after.replicas);
        self.value(("exclusive", "one instance at a time"), exclusive, &after.exclusive);
        let words = |command: &Option<Vec<String>>| command.as_ref().map(|words| format!("{words:?}"));
        self.runs(("command", "command"), words(command), words(&after.command));
        self.probe(probe, &after.probe);
        self.resources(resources, &after.resources);
        self.isolation(isolation, &after.isolation);
        let CrashGuard { restarts, calm_s } = crash_guard;
        let next = after.crash_guard;
        self.value(("crash_guard.restarts", "restarts before it is stopped"), restarts, &next.restarts);
        let calm = |seconds: u32| format!("{seconds} s");
        self.value(("crash_guard.calm_s", "calm after a restart"), &calm(*calm_s), &calm(next.calm_s));
    }

    fn deploy(&mut self, before: &Deploy, after: &Deploy) {
        let Deploy { strategy, pre_command, post_command, drain_s, stop_grace_s } = before;
        let words = |command: &Option<Vec<String>>| command.as_ref().map(|words| format!("{words:?}"));
        let (pre, post) =
            (("deploy.pre_command", "pre-deploy command"), ("deploy.post_command", "post-deploy command"));
        let named = |strategy: &Strategy| match strategy {
            Strategy::BlueGreen => Some("blue-green".to_owned()),
            Strategy::Rolling => Some("rolling".to_owned()),
        };
        self.note(("deploy.strategy", "strategy"), Impact::Nothing, named(strategy), named(&after.strategy));
        self.note(pre, Impact::Nothing, words(pre_command), words(&after.pre_command));
        self.note(post, Impact::Nothing, words(post_command), words(&after.post_command));
        let seconds = |number: &u32| Some(format!("{number} s"));
        let (drain, grace) = (("deploy.drain_s", "drain"), ("deploy.stop_grace_s", "time to stop"));
        self.note(drain, Impact::Nothing, seconds(drain_s), seconds(&after.drain_s));
        self.note(grace, Impact::Nothing, seconds(stop_grace_s), seconds(&after.stop_grace_s));
    }

    fn placement(&mut self, before: &Placement, after: &Placement) {
        // Holds for what is placed from now on: the impact is none until then.
        let Placement { strategy, required, preferred, pin, anti_affinity, max_per_node, grace_s } = before;
        let mut note = |name: (&str, &str), before, after| self.note(name, Impact::Nothing, before, after);
        let words = |strategy: Option<placement::Strategy>| strategy.map(|strategy| strategy.to_string());
        note(("placement.strategy", "placement"), words(*strategy), words(after.strategy));
        let all = |constraints: &[Constraint]| {
            let words: Vec<String> = constraints.iter().map(ToString::to_string).collect();
            (!words.is_empty()).then(|| words.join(", "))
        };
        note(("placement.required", "required of nodes"), all(required), all(&after.required));
        note(("placement.preferred", "preferred of nodes"), all(preferred), all(&after.preferred));
        note(("placement.pin", "pinned to node"), pin.clone(), after.pin.clone());
        let apart = |anti_affinity: AntiAffinity| {
            Some(if anti_affinity == AntiAffinity::Hard { "always" } else { "if possible" }.to_owned())
        };
        let name = ("placement.anti_affinity", "replicas on different nodes");
        note(name, apart(*anti_affinity), apart(after.anti_affinity));
        let most = |most: Option<u16>| most.map(|most| most.to_string());
        note(("placement.max_per_node", "most per node"), most(*max_per_node), most(after.max_per_node));
        let grace = |seconds: Option<u32>| seconds.map(|seconds| format!("{seconds} s"));
        note(
            ("placement.grace_s", "patience with a node that is gone"),
            grace(*grace_s),
            grace(after.grace_s),
        );
    }

    fn probe(&mut self, before: &Probe, after: &Probe) {
        let Probe { check, interval_s, timeout_s, start_within_s, failures } = before;
        let seconds = |number: &u32| format!("{number} s");
        self.value(("probe.check", "probe"), &checked(check), &checked(&after.check));
        self.value(("probe.interval_s", "probe interval"), &seconds(interval_s), &seconds(&after.interval_s));
        self.value(("probe.timeout_s", "probe timeout"), &seconds(timeout_s), &seconds(&after.timeout_s));
        let within = (seconds(start_within_s), seconds(&after.start_within_s));
        self.value(("probe.start_within_s", "time to start"), &within.0, &within.1);
        self.value(("probe.failures", "failures until unhealthy"), failures, &after.failures);
    }

    fn resources(&mut self, before: &Resources, after: &Resources) {
        let Resources { memory_mb, cpu_millis, pids } = before;
        let memory = |mb: u32| format!("{mb} MiB");
        self.value(("resources.memory_mb", "memory"), &memory(*memory_mb), &memory(after.memory_mb));
        let cpu = |millis: u32| format!("{} CPU", f64::from(millis) / 1000.0);
        self.value(("resources.cpu_millis", "processor"), &cpu(*cpu_millis), &cpu(after.cpu_millis));
        self.value(("resources.pids", "processes"), pids, &after.pids);
    }

    fn isolation(&mut self, before: &Isolation, after: &Isolation) {
        let Isolation { read_only, tmpfs, disk_mb, egress_mbit, ingress_mbit } = before;
        let root = |read_only: bool| if read_only { "read-only" } else { "writable" };
        self.value(("isolation.read_only", "root"), &root(*read_only), &root(after.read_only));
        let all = |folders: &[Tmpfs]| {
            let words: Vec<String> = folders.iter().map(ToString::to_string).collect();
            (!words.is_empty()).then(|| words.join(", "))
        };
        self.runs(("isolation.tmpfs", "folders in memory"), all(tmpfs), all(&after.tmpfs));
        let amount =
            |unit: &'static str| move |number: Option<u32>| number.map(|number| format!("{number} {unit}"));
        let (mib, rate) = (amount("MiB"), amount("Mbit/s"));
        self.runs(("isolation.disk_mb", "disk"), mib(*disk_mb), mib(after.disk_mb));
        self.runs(("isolation.egress_mbit", "network out"), rate(*egress_mbit), rate(after.egress_mbit));
        self.runs(("isolation.ingress_mbit", "network in"), rate(*ingress_mbit), rate(after.ingress_mbit));
    }

    /// A variable for builds is in the image's steps besides the container's environment, where a new value comes without
    /// a build: that is another change of its own.
    fn build_variables(&mut self, before: Option<&Values>, after: Option<&Values>, impact: Impact) {
        if let (Some(before), Some(after)) = (before, after) {
            self.values(("build_variables", "build variable"), impact, before, after);
        }
    }

    fn variables(&mut self, before: &Values, after: &Values) {
        self.values(("variables", "variable"), Impact::Containers, before, after);
    }

    /// Names of what differs. `what`: how field and label begin.
    fn values(&mut self, what: (&str, &str), impact: Impact, before: &Values, after: &Values) {
        for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let kind = match (before.get(name), after.get(name)) {
                (one, other) if one == other => continue,
                (None, _) => ChangeKind::Added,
                (_, None) => ChangeKind::Removed,
                _ => ChangeKind::Changed,
            };
            self.0.push(Change {
                field: format!("{}.{name}", what.0),
                label: format!("{} {name}", what.1),
                kind,
                before: None,
                after: None,
                impact,
            });
        }
    }

    /// A setting that containers are made with.
    fn runs(&mut self, name: (&str, &str), before: Option<String>, after: Option<String>) {
        self.note(name, Impact::Containers, before, after);
    }

    /// One that always has a value.
    fn value<T: ToString>(&mut self, name: (&str, &str), before: &T, after: &T) {
        self.runs(name, Some(before.to_string()), Some(after.to_string()));
    }
}

fn short(id: &str) -> String {
    id.chars().take(12).collect()
}

/// Where an image came from. Uploads are not told apart: their ids say nothing to anybody.
fn source(release: &Snapshot) -> Option<String> {
    let source = serde_json::from_value(release.source.clone()?).ok()?;
    Some(match source {
        Source::Archive { .. } => "upload".to_owned(),
        Source::Git { url, r#ref, submodules, lfs } => {
            let also = match (submodules, lfs) {
                (false, false) => "",
                (true, false) => " with submodules",
                (false, true) => " with large files",
                (true, true) => " with submodules and large files",
            };
            format!("{url} {ref}{also}")
        }
        Source::Image { reference } => reference,
    })
}

fn checked(check: &ProbeCheck) -> String {
    match check {
        ProbeCheck::Tcp => "TCP connection".to_owned(),
        ProbeCheck::Http { path, status: None } => format!("GET {path}"),
        ProbeCheck::Http { path, status: Some(status) } => format!("GET {path} answers {status}"),
        ProbeCheck::Command { command } => format!("{command:?} ends with 0"),
        ProbeCheck::Off => "off".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use protocol::ids::{AppId, ReleaseId};
    use serde_json::json;
    use sqlx::types::Json;

    use super::*;

    fn release(settings: Settings) -> Snapshot {
        Snapshot {
            id: ReleaseId::new(),
            app_id: AppId::new(),
            number: 1,
            image_id: format!("sha256:{}", "a".repeat(64)),
            image_reference: "localhost/wisehosting/hello:1".to_owned(),
            image_size_bytes: 7,
            image_node_id: None,
            source: Some(json!({ "type": "git", "url": "https://git.example.com/hello.git", "ref": "main" })),
            commit_id: Some("0123456789abcdef".to_owned()),
            settings: Json(Settings { port: Some(8080), ..settings }),
            variables: Vec::new(),
            built_with: None,
        }
    }

    fn values(pairs: &[(&str, &str)]) -> Values {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn open(values: Values) -> Open {
        Open { values, ..Open::default() }
    }

    fn side<'a>(release: &'a Snapshot, variables: &'a Values) -> Side<'a> {
        Side { release, variables, built_with: None }
    }

    fn text(difference: &Difference) -> String {
        let lines = difference.changes.iter().map(|change| format!("{:?}: {change}", change.impact));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Differs from the default in everything.
    fn other() -> Settings {
        Settings {
            port: Some(3000),
            replicas: 3,
            exclusive: true,
            probe: Probe {
                check: ProbeCheck::Http { path: "/up".to_owned(), status: Some(204) },
                interval_s: 2,
                timeout_s: 6,
                start_within_s: 60,
                failures: 4,
            },
            resources: Resources { memory_mb: 1024, cpu_millis: 1500, pids: 256 },
            isolation: Isolation {
                read_only: true,
                tmpfs: vec!["/data=8".to_owned().try_into().expect("a folder")],
                disk_mb: Some(100),
                egress_mbit: Some(16),
                ingress_mbit: Some(32),
            },
            crash_guard: CrashGuard { restarts: 2, calm_s: 60 },
            command: Some(vec!["serve".to_owned(), "--all of it".to_owned()]),
            containerfile: Some(Containerfile {
                folder: Some("web".to_owned()),
                preset: Some(Preset::Go),
                publish: Some("dist".to_owned()),
                spa: Some(true),
                path: Some("deploy/Containerfile".to_owned()),
                context: "app".to_owned(),
                target: Some("run".to_owned()),
                args: BTreeMap::from([("GO".to_owned(), "1.25".to_owned())]),
                labels: BTreeMap::from([("org.example/team".to_owned(), "shop".to_owned())]),
                platform: Some("linux/arm64".to_owned()),
                pull: true,
            }),
            deploy: Deploy { strategy: Strategy::Rolling, ..Deploy::default() },
            placement: Placement {
                strategy: Some(placement::Strategy::Spread),
                required: vec![Constraint::Is("disk".to_owned(), "nvme".to_owned())],
                preferred: vec![Constraint::HasNot("spot".to_owned())],
                pin: Some("worker-2".to_owned()),
                anti_affinity: AntiAffinity::Hard,
                max_per_node: Some(2),
                grace_s: Some(60),
            },
        }
    }

    #[test]
    fn everything_that_waits_is_told_with_what_it_takes() {
        let live = release(Settings::default());
        let old = values(&[("GONE", "1"), ("KEPT", "1"), ("TOKEN", "hunter2")]);
        let new = values(&[("KEPT", "1"), ("NEW", "swordfish"), ("TOKEN", "hunter3")]);
        let difference = pending(side(&live, &old), &other(), &open(new));
        assert_eq!(difference.impact, Impact::Build);
        insta::assert_snapshot!(text(&difference), @r#"
        Build: folder added: web
        Build: preset added: go
        Build: published folder added: dist
        Build: index.html for every path added: true
        Build: Containerfile added: deploy/Containerfile
        Build: build context: . → app
        Build: build target added: run
        Build: platform added: linux/arm64
        Build: base image is pulled: when missing → always
        Build: build argument GO added: 1.25
        Build: image label org.example/team added: shop
        Containers: port: 8080 → 3000
        Containers: replicas: 1 → 3
        Containers: one instance at a time: false → true
        Containers: command added: ["serve", "--all of it"]
        Containers: probe: TCP connection → GET /up answers 204
        Containers: probe interval: 1 s → 2 s
        Containers: probe timeout: 5 s → 6 s
        Containers: time to start: 30 s → 60 s
        Containers: failures until unhealthy: 3 → 4
        Containers: memory: 512 MiB → 1024 MiB
        Containers: processor: 1 CPU → 1.5 CPU
        Containers: processes: 512 → 256
        Containers: root: writable → read-only
        Containers: folders in memory added: /data=8
        Containers: disk added: 100 MiB
        Containers: network out added: 16 Mbit/s
        Containers: network in added: 32 Mbit/s
        Containers: restarts before it is stopped: 5 → 2
        Containers: calm after a restart: 300 s → 60 s
        Containers: variable GONE removed
        Containers: variable NEW added
        Containers: variable TOKEN changed
        "#);
    }

    #[test]
    fn a_change_of_settings_tells_also_what_is_no_part_of_a_release() {
        let deploy = Deploy { pre_command: Some(vec!["migrate".to_owned()]), ..other().deploy };
        let after = Settings { replicas: 2, deploy, ..Settings::default() };
        insta::assert_snapshot!(text(&settings(&Settings::default(), &after)), @r#"
        Containers: replicas: 1 → 2
        Nothing: strategy: blue-green → rolling
        Nothing: pre-deploy command added: ["migrate"]
        "#);
    }

    #[test]
    fn values_of_variables_are_in_no_form_of_a_difference() {
        let live = release(Settings::default());
        let (old, new) = (values(&[("A", "hunter2")]), values(&[("A", "swordfish"), ("B", "tomato")]));
        let difference = pending(side(&live, &old), &live.settings, &open(new));
        let json = serde_json::to_string(&difference).expect("JSON");
        let told = format!("{json} {difference:?} {} {}", text(&difference), difference.summary(500));
        for secret in ["hunter2", "swordfish", "tomato"] {
            assert!(!told.contains(secret), "{told}");
        }
        assert_eq!(difference.changes.len(), 2);
    }

    #[test]
    fn nothing_waits_when_the_settings_ask_for_what_serves() {
        let live = release(Settings::default());
        let own = values(&[("A", "1")]);
        // The port was settled by the image, and the Containerfile's defaults are what null means.
        let asked = Settings { containerfile: Some(Containerfile::default()), ..Settings::default() };
        let difference = pending(side(&live, &own), &asked, &open(own.clone()));
        assert_eq!(difference, Difference { changes: Vec::new(), impact: Impact::Nothing });
        assert!(!difference.needs_containers());
    }

    #[test]
    fn where_instances_may_be_holds_for_the_next_ones() {
        let after = Settings { placement: other().placement, ..Settings::default() };
        insta::assert_snapshot!(text(&settings(&Settings::default(), &after)), @r"
        Nothing: placement added: spread
        Nothing: required of nodes added: disk=nvme
        Nothing: preferred of nodes added: !spot
        Nothing: pinned to node added: worker-2
        Nothing: replicas on different nodes: if possible → always
        Nothing: most per node added: 2
        Nothing: patience with a node that is gone added: 60 s
        ");
        let (live, own) = (release(Settings::default()), values(&[]));
        assert_eq!(pending(side(&live, &own), &after, &open(own.clone())).changes, []);
    }

    #[test]
    fn two_releases_differ_by_their_images_and_nothing_has_to_be_built() {
        let (before, mut after) = (release(other()), release(Settings::default()));
        after.image_id = format!("sha256:{}", "b".repeat(64));
        after.source =
            Some(json!({ "type": "archive", "archive_id": "0198c0de-0000-7000-8000-000000000000" }));
        after.commit_id = None;
        after.settings.resources = before.settings.resources;
        after.settings.probe = before.settings.probe.clone();
        let none = Values::new();
        let difference = releases(side(&before, &none), side(&after, &none));
        assert_eq!(difference.impact, Impact::Containers);
        insta::assert_snapshot!(text(&difference), @r#"
        Containers: image: aaaaaaaaaaaa → bbbbbbbbbbbb
        Nothing: source: https://git.example.com/hello.git main → upload
        Nothing: commit removed: 0123456789ab
        Nothing: folder removed: web
        Nothing: preset removed: go
        Nothing: published folder removed: dist
        Nothing: index.html for every path removed: true
        Nothing: Containerfile removed: deploy/Containerfile
        Nothing: build context: app → .
        Nothing: build target removed: run
        Nothing: platform removed: linux/arm64
        Nothing: base image is pulled: always → when missing
        Nothing: build argument GO removed: 1.25
        Nothing: image label org.example/team removed: shop
        Containers: replicas: 3 → 1
        Containers: one instance at a time: true → false
        Containers: command removed: ["serve", "--all of it"]
        Containers: root: read-only → writable
        Containers: folders in memory removed: /data=8
        Containers: disk removed: 100 MiB
        Containers: network out removed: 16 Mbit/s
        Containers: network in removed: 32 Mbit/s
        Containers: restarts before it is stopped: 2 → 5
        Containers: calm after a restart: 60 s → 300 s
        "#);
        assert_eq!(releases(side(&before, &none), side(&before, &none)).changes, []);
    }

    #[test]
    fn a_build_input_alone_cannot_be_applied() {
        let live = release(Settings::default());
        let none = Values::new();
        let asked = Settings { containerfile: other().containerfile, ..Settings::default() };
        let difference = pending(side(&live, &none), &asked, &Open::default());
        assert_eq!(difference.impact, Impact::Build);
        assert!(!difference.needs_containers());
        assert_eq!(difference.summary(500), "");
    }

    #[test]
    fn a_summary_is_short_and_one_line() {
        let live = release(Settings::default());
        let none = Values::new();
        let asked = Settings { replicas: 2, command: other().command, ..Settings::default() };
        let difference = pending(side(&live, &none), &asked, &Open::default());
        assert_eq!(difference.summary(500), "replicas: 1 → 2; command added: [\"serve\", \"--all of it\"]");
        assert_eq!(difference.summary(10), "replicas:…");
    }

    #[test]
    fn a_changed_build_variable_needs_a_build_and_so_does_another_flag() {
        let live = release(Settings::default());
        let served = values(&[("API", "1"), ("NOW", "1"), ("OFF", "1"), ("ON", "1")]);
        let built = values(&[("API", "1"), ("GONE", "hunter2"), ("OFF", "1")]);
        let asked = Open {
            values: values(&[("API", "hunter3"), ("NOW", "2"), ("OFF", "1"), ("ON", "1")]),
            build_time: vec!["API".to_owned(), "ON".to_owned()],
            ..Open::default()
        };
        let live = Side { built_with: Some(&built), ..side(&live, &served) };
        let difference = pending(live, &Settings::default(), &asked);
        insta::assert_snapshot!(text(&difference), @"
        Build: build variable API changed
        Build: build variable GONE removed
        Build: build variable OFF removed
        Build: build variable ON added
        Containers: variable API changed
        Containers: variable NOW changed
        ");
        assert_eq!(difference.impact, Impact::Build);
        assert_eq!(difference.summary(500), "variable API changed; variable NOW changed");
        assert!(!format!("{difference:?}").contains("hunter"));
    }

    #[test]
    fn a_flag_alone_cannot_be_applied() {
        let live = release(Settings::default());
        let (own, none) = (values(&[("A", "1")]), Values::new());
        let asked = Open { values: own.clone(), build_time: vec!["A".to_owned()], ..Open::default() };
        let built = Side { built_with: Some(&none), ..side(&live, &own) };
        let difference = pending(built, &Settings::default(), &asked);
        assert_eq!((difference.impact, difference.needs_containers()), (Impact::Build, false));
        // Of an image that was pulled, or built before this was written down, nothing is claimed.
        assert_eq!(pending(side(&live, &own), &Settings::default(), &asked).changes, []);
    }

    #[test]
    fn between_releases_build_variables_are_told_and_take_nothing() {
        let live = release(Settings::default());
        let (own, none) = (values(&[("A", "1")]), Values::new());
        let built = |built_with| Side { built_with: Some(built_with), ..side(&live, &own) };
        let difference = releases(built(&none), built(&own));
        assert_eq!(text(&difference), "Nothing: build variable A added");
    }
}
