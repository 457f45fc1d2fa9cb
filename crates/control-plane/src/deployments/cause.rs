//! What most likely lies behind a failure, and what to do about it, for every code that an agent or a planner gives.

use protocol::job::Failure;
use serde::Serialize;

/// A failure as people see it: never without a cause and a remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FailureCard {
    #[serde(flatten)]
    pub failure: Failure,
    /// The likely cause.
    pub cause: String,
}

impl From<Failure> for FailureCard {
    /// The remedy of who saw it happen is the better one.
    fn from(mut failure: Failure) -> Self {
        let (cause, remedy) = explain(&failure);
        failure.hint.get_or_insert(remedy.to_owned());
        Self { cause: cause.to_owned(), failure }
    }
}

/// Likely cause and remedy.
fn explain(failure: &Failure) -> (&'static str, &'static str) {
    if failure.out_of_memory {
        return memory(failure);
    }
    match failure.code.as_str() {
        "exited" | "crashed" | protocol::job::CRASH_LOOPING => ended(failure.exit_code),
        "probe_failed" => answered(failure),
        code => TABLE
            .iter()
            .find(|(known, ..)| *known == code)
            .map_or(UNKNOWN, |(_, cause, remedy)| (cause, remedy)),
    }
}

fn memory(failure: &Failure) -> (&'static str, &'static str) {
    if failure.code == "containerfile_failed" {
        return (
            "A step of the build needs more memory than a build may use.",
            "Let the step need less, for example with fewer parallel jobs, or raise the limit of builds.",
        );
    }
    (
        "The app needs more memory than an instance of it may use.",
        "Raise the app's memory, or make the app need less at its start.",
    )
}

/// An app that ended before it was healthy.
fn ended(exit_code: Option<i32>) -> (&'static str, &'static str) {
    match exit_code {
        Some(0) => (
            "The command does its work and ends, or puts itself into the background.",
            "Run the server in the foreground.",
        ),
        Some(126 | 127) => (
            "The command names a program that the image does not have or may not run.",
            "Correct the app's command or the image's CMD.",
        ),
        Some(139) => (
            "The app crashed by itself; often an image for another processor or a broken native library.",
            "Look at the last lines, and build the image for this host's architecture.",
        ),
        _ => (
            "The app gave up at its start, most often because a variable is missing or something that it needs cannot be reached.",
            "Look at the last lines; set what is missing with `wh env set`.",
        ),
    }
}

/// An app that listened, and whose probe had no success.
fn answered(failure: &Failure) -> (&'static str, &'static str) {
    let outcome = failure.probe.as_ref().map_or("", |probe| probe.outcome.as_str());
    let status = outcome.strip_prefix("HTTP ").and_then(|rest| rest.split(' ').next());
    match status.and_then(|status| status.parse::<u16>().ok()) {
        Some(404) => ("The app has no such path.", "Set the probe's path to one that the app answers."),
        Some(401 | 403) => (
            "The path asks for a login, which a probe does not have.",
            "Probe a path that answers without one.",
        ),
        Some(500..=599) => (
            "The app runs and says itself that it cannot serve: something that it needs is missing.",
            "Look at the probe's answer and the last lines.",
        ),
        Some(_) => (
            "The app answers with a status that the probe does not take for healthy.",
            "Set the probe's status to the one that the app gives, or probe another path.",
        ),
        None => (
            "The app listens and does not answer the probe in time.",
            "Give it more time to start, or probe something that needs less work.",
        ),
    }
}

const UNKNOWN: (&str, &str) = (
    "Not known; the message and the last lines are all that was seen.",
    "Look at the deployment's log, then deploy again.",
);

/// By code.
const TABLE: &[(&str, &str, &str)] = &[
    ("archive_damaged", "The upload was cut short or changed on its way.", "Deploy again."),
    (
        "archive_unavailable",
        "The upload is gone, or the worker did not reach the control plane.",
        "Deploy again; if it happens twice, look at the worker's status.",
    ),
    (
        "archive_unsafe",
        "The upload holds a path or a link that leads out of its folder.",
        "Take it out of the folder or name it in .whignore.",
    ),
    (
        "build_interrupted",
        "The worker's host was restarted during the build, or the build was killed on it.",
        "Deploy again.",
    ),
    (
        "command_failed",
        "A command of the release ended with an error.",
        "The last lines show what it said; correct it and deploy again.",
    ),
    (
        "containerfile_failed",
        "A step of the Containerfile ended with an error.",
        "The last lines show what it said; try the same step locally with `podman build`.",
    ),
    (
        "containerfile_settings_invalid",
        "The app's build settings do not fit the source.",
        "Correct [build] in wisehosting.toml.",
    ),
    ("context_not_found", "The source has no such folder.", "Correct `context` in [build]."),
    (
        "fell_ill",
        "The app answers a probe and breaks down under real requests.",
        "Look at the app's log from the time of the switch.",
    ),
    (
        "host_key_changed",
        "The git host has new keys, or another machine answers at its address.",
        "Ask the host; if its keys are new, store the deploy key again with `wh git key`.",
    ),
    (
        "image_changed",
        "The name in the registry leads to another image by now, and no worker has the old one any more.",
        "Deploy it again to use the new one.",
    ),
    (
        "image_not_found",
        "The name or the tag is wrong, the image is private, or there is none for this host's architecture.",
        "Check the name; give the registry's login for a private image.",
    ),
    (
        "image_private",
        "The image's registry lies in a private network, or asks for a login.",
        "Use a registry that the worker may reach.",
    ),
    (
        "image_unavailable",
        "No worker that has the image answered, or the registry cannot be reached.",
        "Look at the workers' status, then deploy again.",
    ),
    ("instance_failed", "The worker gave the instance up.", "See the worker's log on its host."),
    (
        "large_file_unavailable",
        "The large file was not pushed, or the host does not hand it out with the app's token.",
        "Push it with `git lfs push --all`, or store a token with `wh git token`.",
    ),
    (
        "local_only",
        "127.0.0.1 is the container's own address, and nothing outside the container gets there.",
        "Bind 0.0.0.0.",
    ),
    (
        "mesh_down",
        "The host's tunnel is down, so nothing could be published on it.",
        "See `systemctl status wisehosting-mesh` on that host.",
    ),
    (
        "never_listened",
        "The app is still starting, waits for something that it needs, or is no server.",
        "Listen on 0.0.0.0 and on the port in PORT, or set the app's port.",
    ),
    (
        "no_connection",
        "The app opened its port at the last moment, or takes IPv6 connections alone.",
        "Raise `start_within_s` in [probe], or bind 0.0.0.0.",
    ),
    (
        "no_containerfile",
        "The source says nowhere how to build it.",
        "Add a Containerfile, or set its path in [build].",
    ),
    (
        "no_port",
        "Neither the image nor the settings name a port.",
        "Say EXPOSE in the Containerfile, or set the port.",
    ),
    (
        "no_preset",
        "The source has no Containerfile, and nothing in it tells what kind of app it is.",
        "Add a Containerfile, or deploy the folder that the app's package file lies in.",
    ),
    (
        "no_room",
        "No worker that is online has room, or none fulfils what the app asks of its place.",
        "Look at the nodes' status, add a worker, give apps less memory, or change the app's placement.",
    ),
    (
        "node_lost",
        "A host went down during the roll-out, and nothing else could take its instances.",
        "Bring the host back or add a worker, then deploy again.",
    ),
    (
        "old_instance_runs",
        "The app runs one instance at a time, and the worker has not said that the old one ended.",
        "Look at the old instance's worker: wh node check. Then deploy again.",
    ),
    (
        "lease_over",
        "The app runs one instance at a time, and its worker's leave to run it was over.",
        "It starts again once the worker reaches the control plane; look at the worker's connection.",
    ),
    (
        "user_namespace_missing",
        "The worker has to keep instances in user namespaces, and its host has none to give.",
        "Give the host what its page names under user namespaces, or set user_namespaces to auto; then deploy again.",
    ),
    (
        "post_deploy_failed",
        "The post-deploy command ended with an error; the release serves nevertheless.",
        "The last lines show what it said; do by hand what it left undone.",
    ),
    (
        "proxies_behind",
        "A proxy is connected and does not take over new routes; its disk may be full, or its engine down.",
        "See the log of wisehosting-proxy on that host.",
    ),
    (
        "ref_not_found",
        "The repository has no such branch, tag or commit.",
        "Check the name and whether it was pushed.",
    ),
    (
        "release_command_failed",
        "The pre-deploy command ended with an error; no instance of the new release was started.",
        "The last lines show what it said; correct it and deploy again.",
    ),
    ("repository_invalid", "What was fetched is no repository that can be built.", "Check the address."),
    ("repository_moved", "The repository redirects to another address.", "Use its new address."),
    (
        "repository_not_found",
        "The address is wrong, or the repository is private.",
        "Check the address; a private one needs `wh git token` or `wh git key`.",
    ),
    (
        "repository_unreachable",
        "The git server does not answer this worker.",
        "Check the address and the worker's network, then deploy again.",
    ),
    (
        "site_invalid",
        "The site's `_redirects`, `_headers` or settings ask for what its server does not do.",
        "Correct the line that is named; the presets' documentation tells what is possible.",
    ),
    (
        "source_too_large",
        "The source has files that do not belong into the image.",
        "Name them in .whignore, or raise the limit of sources.",
    ),
    (
        "start_failed",
        "The container engine refused the container.",
        "Its message tells why; deploy again when the cause is gone.",
    ),
    (
        "start_timeout",
        "The worker is connected and says nothing of the instances, or the image is very large.",
        "See the worker's log on its host.",
    ),
    ("submodule_invalid", "A submodule's path leads out of the source.", "Correct its path in .gitmodules."),
    (
        "submodules_too_many",
        "The source and its submodules refer to more repositories than one build fetches.",
        "Take some of them out, or deploy without submodules.",
    ),
    (
        "timed_out",
        "The build hangs or has too much to do.",
        "Make it shorter, or raise the time limit of builds.",
    ),
    (
        "worker_error",
        "Something on the worker's host is broken: its disk, its container engine or its network.",
        "See the worker's log on its host, then deploy again.",
    ),
    (
        "worker_lost",
        "The worker's host went down or lost its network during the build.",
        "Bring it back, then deploy again.",
    ),
    (
        "wrong_port",
        "The app listens on another port than the one that its settings or its image name.",
        "Set the app's port, or listen on the one in PORT.",
    ),
];

#[cfg(test)]
mod tests {
    use protocol::job::{ProbeEvidence, Stage};

    use super::*;

    fn failure(code: &str) -> Failure {
        Failure {
            code: code.to_owned(),
            message: String::new(),
            hint: None,
            stage: Stage::Start,
            exit_code: None,
            out_of_memory: false,
            last_lines: Vec::new(),
            probe: None,
        }
    }

    fn probed(outcome: &str) -> Failure {
        let probe = ProbeEvidence {
            at: chrono::Utc::now(),
            target: String::new(),
            attempts: 1,
            outcome: outcome.to_owned(),
            body: None,
        };
        Failure { probe: Some(probe), ..failure("probe_failed") }
    }

    #[test]
    fn every_kind_of_failure_has_a_cause_and_a_remedy_of_its_own() {
        let killed = |code| Failure { exit_code: Some(137), out_of_memory: true, ..failure(code) };
        let ended = |code| Failure { exit_code: Some(code), ..failure("exited") };
        let mut kinds = vec![
            killed("containerfile_failed"),
            killed("exited"),
            ended(0),
            ended(1),
            ended(127),
            ended(139),
            probed("HTTP 404 in 3 ms"),
            probed("HTTP 403 in 3 ms"),
            probed("HTTP 503 in 3 ms"),
            probed("HTTP 302 in 3 ms"),
            probed("no answer within 5 s"),
        ];
        kinds.extend(TABLE.iter().map(|(code, ..)| failure(code)));
        let mut causes = std::collections::BTreeSet::new();
        for kind in kinds {
            let name = (kind.code.clone(), kind.exit_code);
            let card = FailureCard::from(kind);
            let remedy = card.failure.hint.expect("a remedy");
            assert_ne!(card.cause, UNKNOWN.0, "{name:?}");
            assert!(card.cause.ends_with('.') && remedy.ends_with('.'), "{name:?}: whole sentences");
            assert!(causes.insert(card.cause), "{name:?} has the cause of another kind");
        }
    }

    /// The sources of all that gives codes, so that none is forgotten here.
    #[test]
    fn no_code_is_without_an_entry() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut found = std::collections::BTreeSet::new();
        for folder in
            ["worker/src", "control-plane/src/plan", "control-plane/src/jobs", "control-plane/src/reconcile"]
        {
            codes(&root.join(folder), &mut found);
        }
        assert!(found.len() > 25, "{found:?}");
        let known = |code: &String| {
            ["exited", "crashed", "probe_failed"].contains(&code.as_str())
                || TABLE.iter().any(|(known, ..)| known == code)
        };
        let missing: Vec<_> = found.iter().filter(|code| !known(code)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    /// Words in quotes that stand where a failure's code does.
    fn codes(folder: &std::path::Path, found: &mut std::collections::BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                codes(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            for begin in ["failure(", "code: "] {
                for rest in text.split(begin).skip(1) {
                    let rest = rest.trim_start();
                    let rest = rest
                        .strip_prefix("Stage::")
                        .and_then(|rest| Some(rest.split_once(',')?.1))
                        .unwrap_or(rest);
                    let Some(rest) = rest.trim_start().strip_prefix('"') else { continue };
                    let word = rest.split('"').next().unwrap_or_default();
                    if word.len() > 3 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                        found.insert(word.to_owned());
                    }
                }
            }
        }
    }

    #[test]
    fn the_remedy_of_who_saw_it_stays() {
        let card = FailureCard::from(Failure { hint: Some("Buy memory.".to_owned()), ..failure("no_room") });
        assert_eq!(card.failure.hint.as_deref(), Some("Buy memory."));
        assert_eq!(FailureCard::from(failure("another_version_says_so")).cause, UNKNOWN.0);
    }
}
