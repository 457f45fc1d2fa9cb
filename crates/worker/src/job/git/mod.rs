//! Gets a repository with the `git` program.

pub(super) mod access;
mod address;
mod lfs;
mod pin;
mod submodules;
mod words;

use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use protocol::job::GitAccess;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::folder::Folder;
use super::log::Log;
use super::run::Stop;
use super::{command, target};
use access::Proof;
use address::Repository;
use pin::Pin;

/// What of this host a build may reach.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach<'a> {
    /// Repositories that are files of the host itself.
    pub(super) files: bool,
    /// Networks besides the public ones.
    pub(super) networks: &'a [IpNet],
}

/// What is wanted of a repository.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) url: &'a str,
    /// Branch, tag or commit.
    pub(super) reference: &'a str,
    pub(super) submodules: bool,
    /// Large files.
    pub(super) lfs: bool,
}

/// With what and for whom repositories are fetched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fetcher<'a> {
    pub(super) reach: Reach<'a>,
    pub(super) access: Option<&'a GitAccess>,
    /// Of large files.
    pub(super) most_bytes: u64,
    /// For what git and ssh read from files.
    pub(super) folder: &'a Folder,
    pub(super) log: &'a Log,
    pub(super) stop: &'a CancellationToken,
}

impl Fetcher<'_> {
    /// Puts the files into `root` and says which commit they are.
    pub(super) async fn fetch(&self, wanted: Wanted<'_>, root: &Path) -> Result<String, Stop> {
        let Wanted { url, reference, submodules, lfs } = wanted;
        let commit = self.one(url, reference, root).await?;
        self.log.say(&format!("Commit {commit}"));
        let mut all = vec![(url.to_owned(), root.to_owned())];
        if submodules {
            all.extend(submodules::fetch(self, url, root).await?);
        }
        if lfs {
            let mut budget = self.most_bytes;
            for (url, root) in &all {
                lfs::fetch(self, url, root, &mut budget).await?;
            }
        }
        for (_, root) in all {
            // The build context is the source, not its history, and git may have noted the address with its password.
            tokio::fs::remove_dir_all(root.join(".git")).await?;
        }
        Ok(commit)
    }

    /// One repository, with its history in `.git`.
    async fn one(&self, url: &str, reference: &str, root: &Path) -> Result<String, Stop> {
        let repository = Repository::parse(url, self.reach.files).map_err(words::bad_url)?;
        if !is_ref(reference) {
            return Err(words::bad_ref(reference).into());
        }
        self.log.say(&format!("Fetching {reference} of {}", repository.shown));
        let git = self.git(&repository, root).await?;
        git.run(&["init", "--quiet", "."]).await?;
        let fetched = git.fetch(&repository, reference).await?;
        // Told also after a failure: the host was there, and its key is what it is.
        git.proof.tell(self.log)?;
        let Some(commit) = fetched else {
            return Err(words::explain(&repository, reference, self.log.last_lines()).into());
        };
        if !git.run(&["checkout", "--quiet", "--detach", &commit]).await? {
            return Err(words::ref_not_found(&repository, reference).into());
        }
        Ok(git.output(&["rev-parse", "HEAD"]).await?)
    }

    /// For what is on the disk already.
    fn local<'b>(&'b self, root: &'b Path) -> Git<'b> {
        let (pin, proof) = (Pin::default(), Proof::default());
        Git { root, allow_file: false, pin, proof, log: self.log, stop: self.stop }
    }

    async fn git<'b>(&'b self, repository: &Repository, root: &'b Path) -> Result<Git<'b>, Stop> {
        let (pin, proof) = match &repository.server {
            Some(server) => {
                let address = target::resolve(&server.host, server.port, self.reach.networks).await?;
                (Pin::new(server, address), Proof::new(server, self.access, self.folder)?)
            }
            None => (Pin::default(), Proof::default()),
        };
        Ok(Git { root, allow_file: self.reach.files, pin, proof, log: self.log, stop: self.stop })
    }
}

struct Git<'a> {
    root: &'a Path,
    allow_file: bool,
    pin: Pin,
    proof: Proof,
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
            // Git would get large files from any server, which nobody has checked.
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            .env(
                "GIT_SSH_COMMAND",
                format!("ssh -oBatchMode=yes -oConnectTimeout=15{}{}", self.proof.ssh(), self.pin.ssh),
            )
            .envs(self.proof.environment())
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

    /// What a short command that asks nobody says.
    async fn output(&self, arguments: &[&str]) -> std::io::Result<String> {
        command::output(self.command(arguments), Duration::from_secs(10)).await
    }

    /// What is to be checked out; `None` when the reference could not be had.
    async fn fetch(&self, repository: &Repository, reference: &str) -> Result<Option<String>, Stop> {
        let shallow = ["fetch", "--quiet", "--depth=1", "--no-tags", "--", &repository.url, reference];
        if self.run(&shallow).await? {
            return Ok(Some("FETCH_HEAD".to_owned()));
        }
        if !is_commit(reference) {
            return Ok(None);
        }
        self.log.say("The server does not hand out single commits; fetching everything");
        let everything = ["fetch", "--quiet", "--", &repository.url, "+refs/*:refs/wisehosting/*"];
        Ok(self.run(&everything).await?.then(|| reference.to_owned()))
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

fn is_commit(reference: &str) -> bool {
    (7..=64).contains(&reference.len()) && reference.chars().all(|char| char.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
