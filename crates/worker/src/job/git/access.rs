//! What git and ssh are given to prove who asks: in the environment and in files that root alone reads, never as an
//! argument, and never for another server than the one that it is for.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol::job::{GitAccess, GitSecret};
use url::Host;

use super::super::folder::Folder;
use super::super::log::{HostKey, Log};
use super::address::{Scheme, Server};

/// The files, in the folder of the job.
pub(crate) const FILES: [&str; 2] = [KEY, KNOWN_HOSTS];
const KEY: &str = "git-key";
const KNOWN_HOSTS: &str = "git-known-hosts";

/// The proof for one server.
#[derive(Debug, Default)]
pub(super) enum Proof {
    /// The server must be open to all, or to this host.
    #[default]
    None,
    /// Name and value of a setting of git.
    Header(String, String),
    Key(KeyFiles),
}

#[derive(Debug)]
pub(super) struct KeyFiles {
    key: PathBuf,
    known_hosts: PathBuf,
    /// As the app's access has it.
    host: String,
    /// Under which `known_hosts` has it.
    alias: String,
    /// Whether the first key that the server shows is taken.
    trusting: bool,
}

impl Proof {
    pub(super) fn new(server: &Server, access: Option<&GitAccess>, folder: &Folder) -> io::Result<Self> {
        let Some(access) = access.filter(|access| server.is_of(access)) else { return Ok(Self::None) };
        match (&access.secret, server.scheme) {
            (GitSecret::Token { .. }, _) => {
                let Server { host, port, .. } = server;
                let setting = format!("http.https://{host}:{port}/.extraHeader");
                let header = header(server, Some(access)).map(|login| format!("Authorization: {login}"));
                Ok(header.map_or(Self::None, |header| Self::Header(setting, header)))
            }
            (GitSecret::Key { private_key, host_keys }, Scheme::Ssh) => {
                let alias = alias(&server.host);
                let files = KeyFiles {
                    key: folder.path(KEY),
                    known_hosts: folder.path(KNOWN_HOSTS),
                    host: access.host.clone(),
                    trusting: host_keys.is_empty(),
                    alias,
                };
                let lines: Vec<String> =
                    host_keys.iter().map(|key| format!("{} {key}\n", files.alias)).collect();
                daemon::file::replace(&files.key, private_key.as_bytes(), 0o600)?;
                // What an earlier fetch of the same build learnt stays.
                if !files.trusting || !files.known_hosts.exists() {
                    daemon::file::replace(&files.known_hosts, lines.concat().as_bytes(), 0o600)?;
                }
                Ok(Self::Key(files))
            }
            _ => Ok(Self::None),
        }
    }

    /// Settings that are no argument, because everybody on the host sees those.
    pub(super) fn environment(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Header(name, value) => {
                vec![("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", name), ("GIT_CONFIG_VALUE_0", value)]
            }
            _ => Vec::new(),
        }
    }

    /// Options of ssh, for the shell that git starts it with.
    pub(super) fn ssh(&self) -> String {
        let Self::Key(KeyFiles { key, known_hosts, alias, trusting, .. }) = self else {
            return " -oStrictHostKeyChecking=accept-new".to_owned();
        };
        let checking = if *trusting { "accept-new" } else { "yes" };
        format!(
            " -F /dev/null -oIdentitiesOnly=yes -oIdentityFile={} -oUserKnownHostsFile={} \
             -oGlobalKnownHostsFile=/dev/null -oHashKnownHosts=no -oHostKeyAlias={alias} \
             -oStrictHostKeyChecking={checking}",
            quoted(key),
            quoted(known_hosts)
        )
    }

    /// Tells the key with which the server proved itself, if none was known.
    pub(super) fn tell(&self, log: &Log) -> io::Result<()> {
        let Self::Key(files) = self else { return Ok(()) };
        if !files.trusting {
            return Ok(());
        }
        let text = std::fs::read_to_string(&files.known_hosts)?;
        let key = text.lines().find_map(|line| line.strip_prefix(&files.alias)?.strip_prefix(' '));
        if let Some(key) = key {
            log.host_key(HostKey { host: files.host.clone(), key: key.to_owned() });
        }
        Ok(())
    }
}

/// What an HTTPS request to the server proves itself with.
pub(super) fn header(server: &Server, access: Option<&GitAccess>) -> Option<String> {
    match &access.filter(|access| server.is_of(access))?.secret {
        GitSecret::Token { username, token } if server.scheme == Scheme::Https => {
            Some(format!("Basic {}", STANDARD.encode(format!("{username}:{token}"))))
        }
        _ => None,
    }
}

fn alias(host: &Host) -> String {
    match host {
        Host::Domain(name) => name.clone(),
        Host::Ipv4(address) => IpAddr::from(*address).to_string(),
        Host::Ipv6(address) => IpAddr::from(*address).to_string(),
    }
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::address::Repository;
    use super::*;

    fn server(url: &str) -> Server {
        Repository::parse(url, false).expect("an address").server.expect("a server")
    }

    fn token() -> GitAccess {
        let secret = GitSecret::Token { username: "ci".to_owned(), token: "hunter2".to_owned() };
        GitAccess { host: "git.example.com".to_owned(), secret }
    }

    fn key(host_keys: &[&str]) -> GitAccess {
        let host_keys = host_keys.iter().map(|key| (*key).to_owned()).collect();
        let secret = GitSecret::Key { private_key: "the key\n".to_owned(), host_keys };
        GitAccess { host: "git.example.com:2222".to_owned(), secret }
    }

    #[test]
    fn a_token_is_in_the_environment_and_for_its_host_over_https_alone() {
        let folder = Folder::at("/nowhere".into());
        let given = |url: &str| Proof::new(&server(url), Some(&token()), &folder).expect("proof");
        assert_eq!(
            given("https://git.example.com/a.git").environment(),
            [
                ("GIT_CONFIG_COUNT", "1"),
                ("GIT_CONFIG_KEY_0", "http.https://git.example.com:443/.extraHeader"),
                ("GIT_CONFIG_VALUE_0", "Authorization: Basic Y2k6aHVudGVyMg=="),
            ]
        );
        for other in [
            "http://git.example.com/a.git",
            "https://git.example.com:8443/a.git",
            "https://git.example.com.evil.org/a.git",
            "git@git.example.com:a.git",
        ] {
            assert_eq!(given(other).environment(), [], "{other}");
        }
    }

    #[test]
    fn a_key_is_in_a_file_for_root_alone_and_the_host_must_be_the_one_that_is_known() {
        let root = tempfile::tempdir().expect("temp dir");
        let folder = Folder::at(root.path().to_owned());
        let url = "ssh://git@git.example.com:2222/a.git";
        let proof = Proof::new(&server(url), Some(&key(&["ssh-ed25519 AAAA"])), &folder).expect("proof");
        assert!(proof.ssh().contains("-oStrictHostKeyChecking=yes"), "{}", proof.ssh());
        assert!(!proof.ssh().contains("the key"));
        let file = folder.path(KEY);
        assert_eq!(std::fs::read_to_string(&file).expect("key"), "the key\n");
        assert_eq!(file.metadata().expect("key").permissions().mode() & 0o777, 0o600);
        let known = std::fs::read_to_string(folder.path(KNOWN_HOSTS)).expect("known hosts");
        assert_eq!(known, "git.example.com ssh-ed25519 AAAA\n");

        let other =
            Proof::new(&server("git@git.example.com:a.git"), Some(&key(&[])), &folder).expect("proof");
        assert!(!other.ssh().contains(KEY), "another port: {}", other.ssh());
    }

    #[test]
    fn the_first_key_of_a_host_is_taken_and_told() {
        let root = tempfile::tempdir().expect("temp dir");
        let folder = Folder::at(root.path().to_owned());
        let log = Log::open(&folder.path("log.jsonl")).expect("log");
        let url = "ssh://git@git.example.com:2222/a.git";
        let proof = Proof::new(&server(url), Some(&key(&[])), &folder).expect("proof");
        assert!(proof.ssh().contains("-oStrictHostKeyChecking=accept-new"), "{}", proof.ssh());
        proof.tell(&log).expect("nothing to tell");
        std::fs::write(folder.path(KNOWN_HOSTS), "git.example.com ssh-ed25519 AAAA\n").expect("as ssh does");
        proof.tell(&log).expect("told");
        let batch = super::super::super::log::read_batch(&folder.path("log.jsonl"), 0).expect("read");
        let told = HostKey { host: "git.example.com:2222".to_owned(), key: "ssh-ed25519 AAAA".to_owned() };
        assert_eq!(batch.host_keys, [told]);
    }

    #[test]
    fn a_path_is_one_word_for_the_shell() {
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
