//! Apps from a repository, served by git's own daemon on the cluster's network.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use testbed::service::Service;
use testbed::topology::PROXY;

use crate::bed::{App, Bed};
use crate::runner::tests;

tests![an_app_is_built_from_a_branch_and_its_commit_is_kept, a_repository_or_ref_that_is_not_there_is_named];

async fn an_app_is_built_from_a_branch_and_its_commit_is_kept(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("from-git", "from the main branch", "")?;
    let commit = publish(&bed, &app)?;
    bed.run_wh(&app.folder, &["deploy", "--git", &url("from-git"), "--ref", "main"]).await?;
    bed.serves(&app, |page| page == "from the main branch").await?;
    let releases = bed.wh_json(&app.folder, &["releases"]).await?;
    ensure!(releases.to_string().contains(&commit), "{releases}");
    Ok(())
}

async fn a_repository_or_ref_that_is_not_there_is_named(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("from-nowhere", "never", "")?;
    publish(&bed, &app)?;
    for (repository, reference, code) in
        [("none", "main", "repository_not_found"), ("from-nowhere", "no-branch", "ref_not_found")]
    {
        let output =
            bed.try_wh(&app.folder, &["deploy", "--git", &url(repository), "--ref", reference]).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(6), "{:?}: {said}", output.status);
        ensure!(said.contains(code) && said.contains("hint: "), "{said}");
    }
    Ok(())
}

fn url(repository: &str) -> String {
    format!("git://{}/{repository}.git", PROXY.public)
}

/// Commits the app's folder and serves it as a repository; the commit.
fn publish(bed: &Bed, app: &App) -> Result<String> {
    let host = bed.cluster.host(PROXY.name)?;
    let repositories = host.folder.join("repositories");
    std::fs::create_dir_all(&repositories)?;
    git(&app.folder, &["init", "--quiet", "--initial-branch=main"])?;
    git(&app.folder, &["add", "."])?;
    git(&app.folder, &["commit", "--quiet", "--message=first"])?;
    let bare = repositories.join(format!("{}.git", app.name));
    git(&app.folder, &["clone", "--quiet", "--bare", ".", bare.to_str().context("a path in UTF-8")?])?;
    let base = format!("--base-path={}/repositories", testbed::init::INSIDE);
    let daemon = ["git", "daemon", "--export-all", "--reuseaddr", &base, &base["--base-path=".len()..]];
    host.set_service(&Service::new("git-daemon", &daemon))?;
    git(&app.folder, &["rev-parse", "HEAD"])
}

pub(crate) fn git(folder: &Path, words: &[&str]) -> Result<String> {
    let who = ["-c", "user.name=Test", "-c", "user.email=test@example.com"];
    program(folder, "git", &[&who[..], words].concat())
}

/// What a program on this machine prints.
pub(crate) fn program(folder: &Path, program: &str, words: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(words)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()?;
    ensure!(
        output.status.success(),
        "{program} {}: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
