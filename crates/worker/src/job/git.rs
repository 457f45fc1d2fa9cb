//! Gets a repository with the `git` program.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use protocol::job::{Failure, Stage};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use super::log::Log;
use super::run::Stop;
use super::{command, target};
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
    /// The server to ask; none for a file.
    server: Option<Server>,
}

/// A server of repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Server {
    scheme: Scheme,
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Ssh,
    Git,
}

/// What of this host a build may reach.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach<'a> {
    /// Repositories that are files of the host itself.
    pub(super) files: bool,
    /// Networks besides the public ones.
    pub(super) networks: &'a [IpNet],
}

impl Repository {
    fn parse(text: &str, allow_file: bool) -> Result<Self, BadUrl> {
        let printable = text.chars().all(|char| char.is_ascii_graphic());
        // `ext::` and its kin start programs; a leading `-` is an option.
        if !printable || text.starts_with('-') || text.contains("::") {
            return Err(BadUrl::Syntax);
        }
        if let Some(host) = scp_like(text) {
            let host = Host::parse(host).map_err(|_| BadUrl::Syntax)?;
            let server = Some(Server { scheme: Scheme::Ssh, host, port: 22 });
            return Ok(Self { url: text.to_owned(), shown: text.to_owned(), server });
        }
        let mut url = Url::parse(text).map_err(|_| BadUrl::Syntax)?;
        let (scheme, port) = match url.scheme() {
            "https" => (Some(Scheme::Http), 443),
            "http" => (Some(Scheme::Http), 80),
            "ssh" => (Some(Scheme::Ssh), 22),
            "git" => (Some(Scheme::Git), 9418),
            "file" if allow_file => (None, 0),
            "file" => return Err(BadUrl::FileForbidden),
            _ => return Err(BadUrl::Scheme),
        };
        let server = match scheme {
            Some(scheme) => {
                // For ssh and git the parser leaves numbers in any notation as they are: read them as an address.
                let host = Host::parse(url.host_str().ok_or(BadUrl::Syntax)?).map_err(|_| BadUrl::Syntax)?;
                Some(Server { scheme, host, port: url.port().unwrap_or(port) })
            }
            None => None,
        };
        // ssh://-oProxyCommand=… would become an option of ssh.
        if url.host_str().is_some_and(|host| host.starts_with('-')) || url.username().starts_with('-') {
            return Err(BadUrl::Syntax);
        }
        // Err is impossible for addresses with a host; those of files have neither name nor password.
        let _ = url.set_password(None);
        let _ = url.set_username("");
        Ok(Self { url: text.to_owned(), shown: url.into(), server })
    }
}

/// The host of `git@example.com:team/app.git`, which is ssh.
fn scp_like(text: &str) -> Option<&str> {
    let (login, path) = text.split_once(':')?;
    let (user, host) = login.split_once('@')?;
    let word = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.chars().all(|char| char.is_ascii_alphanumeric() || ".-_".contains(char))
    };
    (word(user) && word(host) && !path.is_empty() && !path.starts_with('-')).then_some(host)
}

/// Settings with which git asks `server` at `address`, which was checked, whatever the DNS says a moment later.
#[derive(Debug, Default, PartialEq, Eq)]
struct Pin {
    /// `-c` options.
    settings: Vec<String>,
    /// Options of ssh.
    ssh: String,
}

impl Pin {
    fn new(server: &Server, address: IpAddr) -> Self {
        let Server { scheme, host, port } = server;
        let shown = match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        match (scheme, host) {
            (Scheme::Http, Host::Domain(name)) => Self {
                settings: vec![format!("http.curloptResolve={name}:{port}:{shown}")],
                ssh: String::new(),
            },
            (Scheme::Ssh, Host::Domain(name)) => {
                Self { settings: Vec::new(), ssh: format!(" -oHostName={address} -oHostKeyAlias={name}") }
            }
            // git:// has no name to prove, so that the address serves as well.
            (Scheme::Git, Host::Domain(name)) => Self {
                settings: ["", &format!(":{port}")]
                    .map(|port| format!("url.git://{shown}{port}/.insteadOf=git://{name}{port}/"))
                    .to_vec(),
                ssh: String::new(),
            },
            _ => Self::default(),
        }
    }
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
    reach: Reach<'_>,
    root: &Path,
    log: &Log,
    stop: &CancellationToken,
) -> Result<String, Stop> {
    let repository = Repository::parse(url, reach.files).map_err(bad_url)?;
    if !is_ref(reference) {
        return Err(bad_ref(reference).into());
    }
    log.say(&format!("Fetching {reference} of {}", repository.shown));
    let pin = match &repository.server {
        Some(server) => Pin::new(server, target::resolve(&server.host, server.port, reach.networks).await?),
        None => Pin::default(),
    };
    let git = Git { root, allow_file: reach.files, pin, log, stop };
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
    pin: Pin,
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
            // Large files may lie on any server, which nobody has checked.
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            .env(
                "GIT_SSH_COMMAND",
                format!(
                    "ssh -oBatchMode=yes -oConnectTimeout=15 -oStrictHostKeyChecking=accept-new{}",
                    self.pin.ssh
                ),
            )
            .args(self.pin.settings.iter().flat_map(|setting| ["-c", setting]))
            // Neither to another server nor to other servers' objects.
            .args(["-c", "http.followRedirects=false"])
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
    fn the_server_is_known_in_every_notation() {
        let server = |text: &str| -> Server {
            Repository::parse(text, false).expect("an address").server.expect("a server")
        };
        for loopback in ["http://127.1/a", "http://2130706433/a", "ssh://0x7f.1/a", "git://017700000001/a"] {
            assert_eq!(server(loopback).host.to_string(), "127.0.0.1", "{loopback}");
        }
        assert_eq!(server("git@127.1:a/b").host.to_string(), "127.0.0.1");
        assert_eq!(server("https://Example.com:8443/a").port, 8443);
        assert_eq!(server("git://example.com/a").port, 9418);
    }

    #[test]
    fn git_asks_the_address_that_was_checked() {
        let pin = |text: &str, address: &str| -> Pin {
            let server = Repository::parse(text, false).expect("an address").server.expect("a server");
            Pin::new(&server, address.parse::<IpAddr>().expect("address"))
        };
        assert_eq!(
            pin("https://example.com/a.git", "2606::1").settings,
            ["http.curloptResolve=example.com:443:[2606::1]"]
        );
        assert_eq!(
            pin("git@example.com:a.git", "192.0.2.1").ssh,
            " -oHostName=192.0.2.1 -oHostKeyAlias=example.com"
        );
        assert_eq!(
            pin("git://example.com/a.git", "192.0.2.1").settings[0],
            "url.git://192.0.2.1/.insteadOf=git://example.com/"
        );
        assert_eq!(pin("https://192.0.2.1/a.git", "192.0.2.1"), Pin::default());
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
