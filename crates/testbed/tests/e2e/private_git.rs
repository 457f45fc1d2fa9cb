//! A private repository with a private submodule: a real sshd that asks for a key, beside the proxy.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use testbed::report::until;
use testbed::service::Service;
use testbed::topology::PROXY;

use crate::bed::{App, Bed, MINUTE};
use crate::git::{git, program};
use crate::runner::tests;

tests![a_private_repository_and_its_submodule_are_fetched_with_a_deploy_key_that_is_left_nowhere];

const PORT: u16 = 2222;
const PAGE: &str = "from a private submodule";

async fn a_private_repository_and_its_submodule_are_fetched_with_a_deploy_key_that_is_left_nowhere(
    bed: Arc<Bed>,
) -> Result<()> {
    let keys = bed.folder("private-git-keys")?;
    let key = make_key(&keys.folder, "deploy-key")?;
    make_key(&keys.folder, "host-1")?;
    make_key(&keys.folder, "host-2")?;
    serve(&bed, &keys, "host-1")?;
    let app = publish(&bed)?;
    let words = ["deploy", "--git", &url("private-git"), "--submodules"];

    bed.run_wh(&app.folder, &["apps", "create", "private-git"]).await?;
    let refused = bed.try_wh(&app.folder, &words).await?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(6) && said.contains("wh git key"), "{said}");

    let file = keys.folder.join("deploy-key");
    let file = file.to_str().context("a path in UTF-8")?;
    bed.run_wh(&app.folder, &["git", "key", &host(), file]).await?;
    bed.run_wh(&app.folder, &words).await?;
    bed.serves(&app, |page| page.trim() == PAGE).await?;

    let public = std::fs::read_to_string(keys.folder.join("host-1.pub"))?;
    let shown = program(
        Path::new("."),
        "ssh-keygen",
        &["-lf", keys.folder.join("host-1.pub").to_str().context("UTF-8")?],
    )?;
    let fingerprint = shown.split(' ').nth(1).context("no fingerprint")?;
    until("the host's key", MINUTE, || async {
        let access = bed.wh_json(&app.folder, &["git"]).await?;
        Ok((access["access"]["host_keys"][0] == *fingerprint).then_some(()))
    })
    .await
    .with_context(|| format!("not {public}"))?;

    // Another machine at the same address.
    serve(&bed, &keys, "host-2")?;
    let refused = until("the other key", MINUTE, || async {
        let refused = bed.try_wh(&app.folder, &words).await?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        // sshd may not be there yet.
        Ok((!said.contains("repository_unreachable")).then_some(said))
    })
    .await?;
    ensure!(refused.contains("host_key_changed"), "{refused}");
    nowhere(&bed, &key)
}

fn make_key(folder: &Path, name: &str) -> Result<String> {
    program(folder, "ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", name])?;
    Ok(std::fs::read_to_string(folder.join(name))?)
}

/// sshd with this key of its own, for whoever has the deploy key.
fn serve(bed: &Bed, keys: &App, own: &str) -> Result<()> {
    let host = bed.cluster.host(PROXY.name)?;
    let inside = testbed::init::INSIDE;
    std::fs::copy(keys.folder.join(own), host.folder.join("ssh-host-key"))?;
    std::fs::copy(keys.folder.join("deploy-key.pub"), host.folder.join("ssh-authorized"))?;
    let config = format!(
        "Port {PORT}\nListenAddress {}\nHostKey {inside}/ssh-host-key\nAuthorizedKeysFile {inside}/ssh-authorized\n\
         StrictModes no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nUsePAM no\nPidFile none\n",
        PROXY.public
    );
    std::fs::write(host.folder.join("sshd_config"), config)?;
    let script = "mkdir -p /run/sshd && exec \"$(command -v sshd)\" -D -e -f \"$1\"";
    let config = format!("{inside}/sshd_config");
    let service = Service::new("sshd", &["sh", "-c", script, "sh", &config]);
    // A changed file is no changed service.
    host.set_service(&service.env("KEY", own))
}

/// The app's folder, whose page is in a submodule with a relative address.
fn publish(bed: &Bed) -> Result<App> {
    let page = bed.folder("private-page")?;
    page.write("index.html", PAGE)?;
    commit(bed, &page)?;
    let app = bed.source(
        "private-git",
        "FROM docker.io/library/busybox:stable\nCOPY www /www\nUSER nobody\n\
         CMD [\"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]\n",
    )?;
    git(&app.folder, &["init", "--quiet", "--initial-branch=main"])?;
    let page = page.folder.to_str().context("a path in UTF-8")?.to_owned();
    git(&app.folder, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &page, "www"])?;
    git(&app.folder, &["config", "--file=.gitmodules", "submodule.www.url", "../private-page.git"])?;
    commit(bed, &app)?;
    Ok(app)
}

/// As a bare repository of the server.
fn commit(bed: &Bed, app: &App) -> Result<()> {
    let repositories = bed.cluster.host(PROXY.name)?.folder.join("repositories");
    std::fs::create_dir_all(&repositories)?;
    git(&app.folder, &["init", "--quiet", "--initial-branch=main"])?;
    git(&app.folder, &["add", "."])?;
    git(&app.folder, &["commit", "--quiet", "--message=first"])?;
    let bare = repositories.join(format!("{}.git", app.name));
    git(&app.folder, &["clone", "--quiet", "--bare", ".", bare.to_str().context("a path in UTF-8")?])?;
    Ok(())
}

fn host() -> String {
    format!("{}:{PORT}", PROXY.public)
}

fn url(repository: &str) -> String {
    format!("ssh://root@{}{}/repositories/{repository}.git", host(), testbed::init::INSIDE)
}

/// A line of the private key, which is in no file of the workers and of the database.
fn nowhere(bed: &Bed, key: &str) -> Result<()> {
    let line = key.lines().nth(3).context("a short key")?;
    for host in ["w1", "w2", "cp"] {
        let output = bed.cluster.exec(host, &["grep", "-rlaF", "-e", line, "/var/lib"])?;
        let found = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.code() == Some(1) && found.is_empty(), "on {host}: {found}");
    }
    Ok(())
}
