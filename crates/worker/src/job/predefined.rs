//! What the platform tells a build about the app, as build arguments.

use std::collections::{BTreeMap, BTreeSet};

use protocol::job::Build;

use super::containerfile;

/// The commit that is built.
const COMMIT: &str = "WISEHOSTING_COMMIT";

/// Those that the Containerfile asks for by `ARG NAME`, and the app's settings do not set: Podman warns of others, and
/// a step that asks for none is not made anew by another commit.
pub(super) fn arguments(
    build: &Build,
    commit: Option<&str>,
    containerfile: &str,
) -> BTreeMap<String, String> {
    let asked = asked(containerfile);
    let commit = commit.map(|commit| (COMMIT.to_owned(), commit.to_owned()));
    let known = build.predefined.clone().into_iter().chain(commit);
    known.filter(|(name, _)| asked.contains(name) && !build.containerfile.args.contains_key(name)).collect()
}

fn asked(containerfile: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, instruction) in containerfile::instructions(containerfile) {
        let mut words = instruction.split_whitespace();
        if words.next().is_some_and(|word| word.eq_ignore_ascii_case("arg")) {
            names.extend(words.filter_map(|word| word.split('=').next()).map(str::to_owned));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use protocol::ids::{AppId, DeploymentId};
    use protocol::job::{BuildLimits, Containerfile, Source};

    use super::*;

    #[test]
    fn a_build_is_told_what_its_containerfile_asks_for() {
        let text = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let args = text(&[("WISEHOSTING_APP", "mine")]);
        let build = Build {
            deployment_id: DeploymentId::new(),
            app_id: AppId::new(),
            app: "hello".to_owned(),
            source: Source::Image { reference: String::new() },
            containerfile: Box::new(Containerfile { args, ..Containerfile::default() }),
            limits: BuildLimits { memory_mb: 1, cpu_millis: 1, timeout_s: 1, source_bytes: 1 },
            no_cache: false,
            tag: "hello:1".to_owned(),
            predefined: text(&[
                ("WISEHOSTING_APP", "hello"),
                ("WISEHOSTING_PROJECT", "shop"),
                ("WISEHOSTING_URL", "https://hello.example.com"),
            ]),
            secrets: Box::default(),
        };
        let file = "FROM a\n# ARG WISEHOSTING_PROJECT\nARG WISEHOSTING_APP\narg B=1 \\\n  WISEHOSTING_URL=none\n\
                    ARG WISEHOSTING_COMMIT\nRUN echo ARG WISEHOSTING_PROJECT\n";
        let told = arguments(&build, Some("c0ffee"), file);
        let expected =
            text(&[("WISEHOSTING_COMMIT", "c0ffee"), ("WISEHOSTING_URL", "https://hello.example.com")]);
        assert_eq!(told, expected);
        assert_eq!(arguments(&build, None, "ARG WISEHOSTING_COMMIT"), BTreeMap::new());
    }
}
