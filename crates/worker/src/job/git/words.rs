//! Git's words as failures.

use protocol::job::{Failure, Stage};

use super::address::{BadUrl, Repository};
use crate::failure::{FailureExt as _, failure};

pub(super) fn bad_url(problem: BadUrl) -> Failure {
    let why = match problem {
        BadUrl::Syntax => "it is not an address of a repository",
        BadUrl::Scheme => "only https, ssh, git and http are fetched",
        BadUrl::FileForbidden => "files of the worker itself are not fetched",
    };
    failure(Stage::Fetch, "repository_invalid", format!("the repository's address is refused: {why}"))
        .hint("Write it as https://example.com/team/app.git")
}

pub(super) fn bad_ref(reference: &str) -> Failure {
    failure(Stage::Fetch, "ref_not_found", format!("`{reference}` cannot be a branch, a tag or a commit"))
        .hint("Name a branch such as `main`, a tag or a commit")
}

pub(super) fn ref_not_found(repository: &Repository, reference: &str) -> Failure {
    failure(
        Stage::Fetch,
        "ref_not_found",
        format!("{} has no branch, tag or commit `{reference}`", repository.shown),
    )
    .hint("Push it, or name another branch, tag or commit")
}

pub(super) fn explain(repository: &Repository, reference: &str, last_lines: Vec<String>) -> Failure {
    let said = last_lines.join("\n");
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&["couldn't find remote ref", "not our ref", "no such remote ref"]) {
        return ref_not_found(repository, reference).last_lines(last_lines);
    }
    if says(&["Host key verification failed"]) {
        return failure(
            Stage::Fetch,
            "host_key_changed",
            format!("the host of {} does not prove itself with a key that is known", repository.shown),
        )
        .hint("Ask the host whether its keys are new; if so, store the deploy key again: `wh git key`")
        .last_lines(last_lines);
    }
    if says(&[
        "unable to update url base from redirection",
        "error: 301",
        "error: 302",
        "error: 307",
        "error: 308",
    ]) {
        return failure(
            Stage::Fetch,
            "repository_moved",
            format!("{} leads to another address, which is not followed", repository.shown),
        )
        .hint("Use the address that it leads to; `curl -sI ADDRESS` shows it as `location`")
        .last_lines(last_lines);
    }
    let absent = [
        "not found",
        "does not exist",
        "does not appear to be a git repository",
        "repository not exported",
        "could not read Username",
        "Authentication failed",
        "Permission denied",
        "error: 403",
        "error: 404",
    ];
    let shown = &repository.shown;
    if says(&absent) {
        return failure(
            Stage::Fetch,
            "repository_not_found",
            format!("{shown} is not there, or this worker may not read it"),
        )
        .hint(
            "Check the address; a private repository needs a token or a key: `wh git token` or `wh git key`",
        )
        .last_lines(last_lines);
    }
    failure(Stage::Fetch, "repository_unreachable", format!("{shown} could not be fetched"))
        .hint("The last lines are git's own words; try again when the server is reachable")
        .last_lines(last_lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gits_words_become_codes() {
        let repository = Repository::parse("https://example.com/a.git", false).expect("good");
        let code = |said: &str| explain(&repository, "main", vec![said.to_owned()]).code;
        assert_eq!(code("fatal: couldn't find remote ref main"), "ref_not_found");
        assert_eq!(code("remote: Repository not found."), "repository_not_found");
        assert_eq!(
            code("fatal: could not read Username for 'https://example.com': terminal prompts disabled"),
            "repository_not_found"
        );
        assert_eq!(code("Host key verification failed."), "host_key_changed");
        assert_eq!(code("fatal: unable to access: Could not resolve host"), "repository_unreachable");
    }
}
