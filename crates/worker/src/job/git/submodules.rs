//! Repositories that a repository refers to. Fetched one by one as the first was, and not by `git submodule`, so that
//! each address is checked before it is asked.

use std::path::{Path, PathBuf};

use protocol::job::{Failure, Stage};

use super::address::Repository;
use super::{Fetcher, Git, is_commit};
use crate::failure::{FailureExt as _, failure};
use crate::job::run::Stop;

/// Of one build, those of submodules included.
const MOST: usize = 100;

/// One entry of `.gitmodules`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Submodule {
    path: String,
    url: String,
}

/// Fetches the submodules of what is in `root`, and theirs. Their addresses and folders.
pub(super) async fn fetch(
    fetcher: &Fetcher<'_>,
    url: &str,
    root: &Path,
) -> Result<Vec<(String, PathBuf)>, Stop> {
    let mut fetched = Vec::new();
    let mut open = vec![(url.to_owned(), root.to_owned())];
    while let Some((url, root)) = open.pop() {
        let repository = Repository::parse(&url, fetcher.reach.files).map_err(super::words::bad_url)?;
        let git = fetcher.local(&root);
        for submodule in listed(&git).await? {
            if fetched.len() == MOST {
                return Err(too_many().into());
            }
            if !is_inside(&submodule.path) {
                return Err(bad_path(&submodule.path).into());
            }
            // What is not a commit in the tree is an entry that was left behind.
            let commit = git
                .output(&["rev-parse", "--verify", "--quiet", &format!("HEAD:{}", submodule.path)])
                .await?;
            if !is_commit(&commit) {
                continue;
            }
            let (url, folder) = (resolved(&repository.url, &submodule.url), root.join(&submodule.path));
            tokio::fs::create_dir_all(&folder).await?;
            fetcher.one(&url, &commit, &folder).await?;
            fetched.push((url.clone(), folder.clone()));
            open.push((url, folder));
        }
    }
    Ok(fetched)
}

/// From the commit, because a file could be a link to anything.
async fn listed(git: &Git<'_>) -> std::io::Result<Vec<Submodule>> {
    let pattern = r"^submodule\..*\.(path|url)$";
    Ok(parse(&git.output(&["config", "--blob=HEAD:.gitmodules", "--null", "--get-regexp", pattern]).await?))
}

fn parse(text: &str) -> Vec<Submodule> {
    let entries = || text.split('\0').filter_map(|entry| entry.trim_start().split_once('\n'));
    let paths = entries().filter_map(|(name, path)| Some((name.strip_suffix(".path")?, path)));
    let with_url = paths.filter_map(|(name, path)| {
        let (_, url) = entries().find(|(other, _)| other.strip_suffix(".url") == Some(name))?;
        Some(Submodule { path: path.to_owned(), url: url.to_owned() })
    });
    with_url.collect()
}

fn is_inside(path: &str) -> bool {
    let ordinary =
        |part: &str| !part.is_empty() && part != "." && part != ".." && !part.eq_ignore_ascii_case(".git");
    path.split('/').all(ordinary)
}

/// `../lib.git` beside the repository that says so.
fn resolved(parent: &str, url: &str) -> String {
    if !url.starts_with("./") && !url.starts_with("../") {
        return url.to_owned();
    }
    let (mut base, mut rest, mut between) = (parent.trim_end_matches('/'), url, "/");
    loop {
        if let Some(after) = rest.strip_prefix("./") {
            rest = after;
        } else if let Some(after) = rest.strip_prefix("../") {
            rest = after;
            let end = base.rfind(['/', ':']).unwrap_or(0);
            between = if base[end..].starts_with(':') { ":" } else { "/" };
            base = &base[..end];
        } else {
            return format!("{base}{between}{rest}");
        }
    }
}

fn too_many() -> Failure {
    failure(Stage::Fetch, "submodules_too_many", format!("the source has more than {MOST} submodules"))
        .hint("Take some of them out, or deploy without submodules")
}

fn bad_path(path: &str) -> Failure {
    failure(Stage::Fetch, "submodule_invalid", format!("a submodule cannot be at `{path}`"))
        .hint("Correct its path in .gitmodules")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_a_path_and_an_address_whatever_their_names() {
        let text = "submodule.a.b.path\nlib/a\0submodule.a.b.url\n../a.git\0submodule.alone.path\nx\0";
        let entry = Submodule { path: "lib/a".to_owned(), url: "../a.git".to_owned() };
        assert_eq!((parse(text), parse("")), (vec![entry], Vec::new()));
    }

    #[test]
    fn a_path_stays_in_the_source() {
        for good in ["lib", "lib/a", "..lib", "a..b"] {
            assert!(is_inside(good), "{good}");
        }
        for bad in ["", "/etc", "../a", "a/../../b", ".", "a//b", ".git", "a/.GIT/hooks"] {
            assert!(!is_inside(bad), "{bad}");
        }
    }

    #[test]
    fn relative_addresses_are_beside_the_repository() {
        for (parent, url, found) in [
            ("https://example.com/team/app.git", "../lib.git", "https://example.com/team/lib.git"),
            ("https://example.com/team/app.git/", "../../other/lib", "https://example.com/other/lib"),
            ("https://example.com/team/app", "./lib", "https://example.com/team/app/lib"),
            ("git@example.com:team/app.git", "../lib.git", "git@example.com:team/lib.git"),
            ("git@example.com:app.git", "../lib.git", "git@example.com:lib.git"),
            ("https://example.com/app", "ssh://other.example.com/x", "ssh://other.example.com/x"),
        ] {
            assert_eq!(resolved(parent, url), found);
        }
    }
}
