//! Gets a repository with the `git` program.

use std::path::Path;
use std::time::Duration;

use protocol::job::{Failure, Stage};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::command;
use super::log::Log;
use super::run::Stop;
use crate::failure::{FailureExt as _, failure};

/// Why an address is not given to git.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BadUrl {
    Syntax,
    Scheme,
    FileForbidden,
}

/// An address that git may get.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Repository {
    url: String,
    /// For the log: without user name and password.
    shown: String,
}

impl Repository {
    fn parse(text: &str, allow_file: bool) -> Result<Self, BadUrl> {
        let printable = text.chars().all(|char| char.is_ascii_graphic());
        // `ext::` and its kin start programs; a leading `-` is an option.
        if !printable || text.starts_with('-') || text.contains("::") {
            return Err(BadUrl::Syntax);
        }
        if let Some(shown) = scp_like(text) {
            return Ok(Self { url: text.to_owned(), shown });
        }
        let mut url = Url::parse(text).map_err(|_| BadUrl::Syntax)?;
        match url.scheme() {
            "https" | "http" | "ssh" | "git" if url.host().is_some() => {}
            "file" if allow_file => {}
            "file" => return Err(BadUrl::FileForbidden),
            _ => return Err(BadUrl::Scheme),
        }
        // ssh://-oProxyCommand=… would become an option of ssh.
        if url.host_str().is_some_and(|host| host.starts_with('-')) || url.username().starts_with('-') {
            return Err(BadUrl::Syntax);
        }
        // Err is impossible for addresses with a host; those of files have neither name nor password.
        let _ = url.set_password(None);
        let _ = url.set_username("");
        Ok(Self { url: text.to_owned(), shown: url.into() })
    }
}

/// `git@example.com:team/app.git`, which is ssh.
fn scp_like(text: &str) -> Option<String> {
    let (login, path) = text.split_once(':')?;
    let (user, host) = login.split_once('@')?;
    let word = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.chars().all(|char| char.is_ascii_alphanumeric() || ".-_".contains(char))
    };
    (word(user) && word(host) && !path.is_empty() && !path.starts_with('-')).then(|| text.to_owned())
}

/// Whether `name` can only be a branch, a tag or a commit.
fn is_ref(name: &str) -> bool {
    let allowed = |char: char| char.is_ascii_alphanumeric() || "._/-+#@".contains(char);
    !name.is_empty()
        && name.len() <= 250
        && name.chars().all(allowed)
        && !name.starts_with(['-', '+', '/', '.'])
        && !name.ends_with(['/', '.'])
        && !name.contains("..")
        && !name.contains("@{")
}

/// Puts the files of `reference` into `root` and says which commit they are.
pub(super) async fn fetch(
    url: &str,
    reference: &str,
    allow_file: bool,
    root: &Path,
    log: &Log,
    stop: &CancellationToken,
) -> Result<String, Stop> {
    let repository = Repository::parse(url, allow_file).map_err(bad_url)?;
    if !is_ref(reference) {
        return Err(bad_ref(reference).into());
    }
    log.say(&format!("Fetching {reference} of {}", repository.shown));
    let git = Git { root, allow_file, log, stop };
    git.run(&["init", "--quiet", "."]).await?;
    let shallow = ["fetch", "--quiet", "--depth=1", "--no-tags", "--", &repository.url, reference];
    let everything = ["fetch", "--quiet", "--", &repository.url, "+refs/*:refs/wisehosting/*"];
    let mut fetched = git.run(&shallow).await?;
    let mut commit = "FETCH_HEAD".to_owned();
    if !fetched && is_commit(reference) {
        log.say("The server does not hand out single commits; fetching everything");
        fetched = git.run(&everything).await?;
        reference.clone_into(&mut commit);
    }
    if !fetched {
        return Err(explain(&repository, reference, log.last_lines()).into());
    }
    if !git.run(&["checkout", "--quiet", "--detach", &commit]).await? {
        return Err(ref_not_found(&repository, reference).into());
    }
    let commit = command::output(git.command(&["rev-parse", "HEAD"]), Duration::from_secs(10)).await?;
    // The build context is the source, not its history, and git may have noted the address with its password.
    tokio::fs::remove_dir_all(root.join(".git")).await?;
    log.say(&format!("Commit {commit}"));
    Ok(commit)
}

struct Git<'a> {
    root: &'a Path,
    allow_file: bool,
    log: &'a Log,
    stop: &'a CancellationToken,
}

impl Git<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut git = command::quiet("git");
        let protocols = if self.allow_file { "https:http:ssh:git:file" } else { "https:http:ssh:git" };
        git.current_dir(self.root)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", protocols)
            .env(
                "GIT_SSH_COMMAND",
                "ssh -oBatchMode=yes -oConnectTimeout=15 -oStrictHostKeyChecking=accept-new",
            )
            .args(["-c", "protocol.ext.allow=never"])
            .args(["-c", "core.hooksPath=/dev/null"])
            .args(["-c", "safe.directory=*"])
            .args(["-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=30"])
            .args(arguments);
        git
    }

    async fn run(&self, arguments: &[&str]) -> Result<bool, Stop> {
        let status = command::run(self.command(arguments), self.log, self.stop).await?;
        Ok(status.ok_or(Stop::Cancelled)?.success())
    }
}

fn is_commit(reference: &str) -> bool {
    (7..=64).contains(&reference.len()) && reference.chars().all(|char| char.is_ascii_hexdigit())
}

fn bad_url(problem: BadUrl) -> Failure {
    let why = match problem {
        BadUrl::Syntax => "it is not an address of a repository",
        BadUrl::Scheme => "only https, ssh, git and http are fetched",
        BadUrl::FileForbidden => "files of the worker itself are not fetched",
    };
    failure(Stage::Fetch, "repository_invalid", format!("the repository's address is refused: {why}"))
        .hint("Write it as https://example.com/team/app.git")
}

fn bad_ref(reference: &str) -> Failure {
    failure(Stage::Fetch, "ref_not_found", format!("`{reference}` cannot be a branch, a tag or a commit"))
        .hint("Name a branch such as `main`, a tag or a commit")
}

fn ref_not_found(repository: &Repository, reference: &str) -> Failure {
    failure(
        Stage::Fetch,
        "ref_not_found",
        format!("{} has no branch, tag or commit `{reference}`", repository.shown),
    )
    .hint("Push it, or name another branch, tag or commit")
}

fn explain(repository: &Repository, reference: &str, last_lines: Vec<String>) -> Failure {
    let said = last_lines.join("\n");
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&["couldn't find remote ref", "not our ref", "no such remote ref"]) {
        return ref_not_found(repository, reference).last_lines(last_lines);
    }
    let absent = [
        "not found",
        "does not exist",
        "does not appear to be a git repository",
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
        .hint("Check the address; a private repository needs a deploy key on the worker or a token in the address")
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
    fn only_addresses_of_repositories_reach_git() {
        for good in [
            "https://example.com/a.git",
            "http://10.0.0.1/a",
            "ssh://git@example.com:22/a.git",
            "git://example.com/a",
            "git@example.com:team/app.git",
        ] {
            assert!(Repository::parse(good, false).is_ok(), "{good}");
        }
        for (bad, problem) in [
            ("ext::sh -c id", BadUrl::Syntax),
            ("ext::id", BadUrl::Syntax),
            ("fd::17", BadUrl::Syntax),
            ("--upload-pack=id", BadUrl::Syntax),
            ("-c", BadUrl::Syntax),
            ("ssh://-oProxyCommand=id/a", BadUrl::Syntax),
            ("git@-oProxyCommand=id:a", BadUrl::Syntax),
            ("/etc", BadUrl::Syntax),
            ("../a", BadUrl::Syntax),
            ("https://example.com/a b", BadUrl::Syntax),
            ("file:///etc", BadUrl::FileForbidden),
            ("ftp://example.com/a", BadUrl::Scheme),
        ] {
            assert_eq!(Repository::parse(bad, false), Err(problem), "{bad}");
        }
        assert!(Repository::parse("file:///srv/app.git", true).is_ok());
    }

    #[test]
    fn passwords_in_addresses_are_not_shown() {
        let parsed = Repository::parse("https://user:secret@example.com/a.git", false).expect("good");
        assert_eq!(parsed.shown, "https://example.com/a.git");
    }

    #[test]
    fn a_ref_is_never_an_option_or_a_refspec() {
        for good in ["main", "v1.2.3", "feature/a-b", "0123456789abcdef", "deps+1"] {
            assert!(is_ref(good), "{good}");
        }
        for bad in
            ["", "-q", "+main", "main:refs/heads/x", "a..b", "a b", "HEAD@{1}", "a~1", "^a", "/a", "a/"]
        {
            assert!(!is_ref(bad), "{bad}");
        }
    }

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
        assert_eq!(code("fatal: unable to access: Could not resolve host"), "repository_unreachable");
    }
}
