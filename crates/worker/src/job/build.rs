//! `podman build`, through the command line: Podman's interfaces ignore the network of RUN steps, and a build that is
//! cancelled there goes on.

use std::path::Path;

use protocol::job::{Build, Failure, Stage};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::command;
use super::containerfile::{self, Found, Search};
use super::folder::Folder;
use super::log::Log;
use super::run::Stop;
use super::{BUILD_NETWORK, JobFile, cache, predefined, preset, secrets};
use crate::failure::{FailureExt as _, failure};
use crate::instances::label;

/// Builds the source in `root` as the image `job.build.tag`. What is written for it goes into `folder`.
/// `commit`: of a source that has one.
pub(super) async fn build(
    job: &JobFile,
    folder: &Folder,
    root: &Path,
    commit: Option<&str>,
    log: &Log,
    stop: &CancellationToken,
) -> Result<(), Stop> {
    check_words(&job.build)?;
    let wanted = &job.build.containerfile;
    let (found, ignore) = match containerfile::find(root, wanted)? {
        Search::Found(found) => {
            log.say(&format!("Building with {}", found.name));
            if let Some(setting) = preset::site(wanted).setting() {
                log.say(&format!("  `{setting}` says nothing here: it is for presets that serve files"));
            }
            (found, None)
        }
        Search::Preset(context) => {
            let prepared = preset::prepare(context, wanted, folder)?;
            preset::explain(&prepared.recipe, wanted.preset.is_some(), log);
            log.recipe(prepared.recipe);
            (prepared.found, Some(prepared.ignore))
        }
    };
    let known = folder.secrets()?;
    let mut command = podman_build(job, &found, ignore.as_deref());
    if let Some(caches) = &job.settings.caches {
        let app = job.build.app_id;
        // One build of an app at a time: nobody else uses it now.
        if job.build.no_cache && cache::remove(caches, app)? {
            log.say("Emptied the app's build cache");
        }
        command.env("TMPDIR", cache::folder(caches, app)?);
    }
    let text = tokio::fs::read_to_string(&found.file).await.unwrap_or_default();
    for (name, value) in predefined::arguments(&job.build, commit, &text) {
        command.arg(format!("--build-arg={name}={value}"));
    }
    if let Some(auth) = secrets::auth_file(folder, &known)? {
        command.arg("--authfile").arg(auth);
    }
    for secret in secrets::mounts(folder, &known)? {
        command.arg(secret);
    }
    command.arg("--").arg(&found.context);
    let status = command::run(command, log, stop).await?.ok_or(Stop::Cancelled)?;
    if status.success() {
        return Ok(());
    }
    // Here, because a part of it is told, and a part of a value is not known for one.
    let text = log.without_values(text);
    Err(explain(&found.name, &text, status.code(), log.last_lines(), job.memory_mb()).into())
}

/// All but the secrets and the context.
fn podman_build(job: &JobFile, found: &Found, ignore: Option<&Path>) -> Command {
    let mut podman = command::quiet("podman");
    let memory = format!("{}m", job.memory_mb());
    podman
        .args(["build", "--network", BUILD_NETWORK, "--layers"])
        .args(["--memory", &memory, "--memory-swap", &memory])
        .args(["--cpu-period", "100000", "--cpu-quota", &(job.cpu_millis().max(10) * 100).to_string()])
        .args(["--label", &format!("{}=built", label::IMAGE)])
        .args(["--tag", &job.build.tag])
        .arg("--file")
        .arg(&found.file);
    let containerfile = &job.build.containerfile;
    if job.build.no_cache {
        podman.arg("--no-cache");
    }
    // A base image that cannot be looked up again is used as it is here.
    let look = job.build.no_cache || containerfile.pull;
    podman.arg(if look { "--pull=newer" } else { "--pull=missing" });
    if let Some(platform) = &containerfile.platform {
        podman.arg(format!("--platform={platform}"));
    }
    for (name, value) in &containerfile.labels {
        podman.arg(format!("--label={name}={value}"));
    }
    if let Some(ignore) = ignore {
        podman.arg("--ignorefile").arg(ignore);
    }
    if let Some(target) = &containerfile.target {
        podman.arg(format!("--target={target}"));
    }
    for (name, value) in &containerfile.args {
        podman.arg(format!("--build-arg={name}={value}"));
    }
    podman
}

/// Nothing that the user wrote may be read as an option or as another file.
fn check_words(build: &Build) -> Result<(), Box<Failure>> {
    let plain = |text: &str, also: &str| {
        text.starts_with(|char: char| char.is_ascii_alphanumeric() || char == '_')
            && text.chars().all(|char| char.is_ascii_alphanumeric() || also.contains(char))
    };
    let bad = |what: &str, text: &str| {
        let message = format!("{what} `{text}` has characters that are not allowed");
        let failure = failure(Stage::Build, "containerfile_settings_invalid", message);
        Err(Box::new(failure.hint("Use letters, digits, `_`, `-` and `.`")))
    };
    if !plain(&build.tag, "/:._-") {
        return bad("the image's name", &build.tag);
    }
    if let Some(target) = build.containerfile.target.as_deref().filter(|target| !plain(target, "._-")) {
        return bad("the build stage", target);
    }
    if let Some(platform) = build.containerfile.platform.as_deref().filter(|text| !plain(text, "/._-")) {
        return bad("the platform", platform);
    }
    if let Some(label) = build.containerfile.labels.keys().find(|name| !plain(name, "/._-")) {
        return bad("the label", label);
    }
    match build.containerfile.args.keys().find(|name| !plain(name, "_")) {
        Some(name) => bad("the build argument", name),
        None => Ok(()),
    }
}

fn explain(
    name: &str,
    containerfile: &str,
    exit_code: Option<i32>,
    last_lines: Vec<String>,
    memory_mb: u32,
) -> Failure {
    let says = |word: &str| last_lines.iter().any(|line| line.contains(word));
    let line = containerfile::failing_line(containerfile, &last_lines);
    let place = match &line {
        Some((number, text)) => format!("line {number} of {name} failed: `{}`", shortened(text)),
        None => format!("{name} could not be built"),
    };
    if says("initializing source docker://") {
        return failure(Stage::Build, "image_not_found", format!("the base image cannot be had; {place}"))
            .hint("Check the name after FROM and that this worker reaches the registry; a private one needs `wh registry login`")
            .exit_code(exit_code)
            .last_lines(last_lines);
    }
    let out_of_memory =
        exit_code == Some(137) || says("container exited on killed") || says("exit status 137");
    let mut failure = failure(Stage::Build, "containerfile_failed", place);
    failure.out_of_memory = out_of_memory;
    failure.hint = Some(if out_of_memory {
        format!(
            "The step was killed at the limit of {memory_mb} MiB: let it need less memory, or raise the build's limit"
        )
    } else {
        "The last lines show what the step said; run `podman build` with the same source to try it locally"
            .to_owned()
    });
    failure.exit_code(exit_code).last_lines(last_lines)
}

fn shortened(text: &str) -> String {
    const MOST: usize = 120;
    if text.chars().count() <= MOST {
        text.to_owned()
    } else {
        text.chars().take(MOST).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &[&str], exit_code: i32) -> Failure {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        explain("Containerfile", "FROM busybox\nRUN npm ci\n", Some(exit_code), lines, 512)
    }

    #[test]
    fn a_failing_step_is_named_by_its_line() {
        let failure = said(&["STEP 2/2: RUN npm ci", "no such package", "Error: building at STEP"], 3);
        assert_eq!(failure.message, "line 2 of Containerfile failed: `RUN npm ci`");
        assert_eq!((failure.exit_code, failure.out_of_memory), (Some(3), false));
        assert_eq!(failure.last_lines.len(), 3);
    }

    #[test]
    fn a_step_killed_at_the_memory_limit_is_called_so() {
        let failure = said(&["STEP 2/2: RUN npm ci", "container exited on killed"], 1);
        assert!(failure.out_of_memory);
        assert!(failure.hint.expect("hint").contains("512 MiB"));
    }
}
