//! Private images: a real registry that asks for a name and a password.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use testbed::report::until;
use testbed::service::Service;
use testbed::topology::{PROXY, REGISTRY};
use tokio::io::AsyncWriteExt as _;

use crate::bed::{Bed, MINUTE};
use crate::runner::tests;

tests![
    a_private_image_is_built_on_and_run_with_a_stored_login_that_is_left_nowhere,
    long a_built_image_is_kept_in_a_registry_serves_from_there_and_goes
];

const USER: &str = "reader";
const PASSWORD: &str = "a-password-of-the-tests";
/// The password as htpasswd keeps it.
const ENTRY: &str = "reader:$2b$04$sy.Qf5zT7rDPeDL9x0jVmuR4lsouvxHHgT5EEh704VVrzqBHI9Q1.\n";

async fn a_private_image_is_built_on_and_run_with_a_stored_login_that_is_left_nowhere(
    bed: Arc<Bed>,
) -> Result<()> {
    start(&bed)?;
    let (base, image) = (format!("{REGISTRY}/team/base:1"), format!("{REGISTRY}/team/page:1"));
    publish(&bed, "docker.io/library/busybox:stable", &base).await?;

    let app = bed.source(
        "on-private",
        &format!(
            "FROM {base}\nRUN mkdir /www && echo private base > /www/index.html\nUSER nobody\n\
             CMD [\"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]\n"
        ),
    )?;
    let refused = bed.try_wh(&app.folder, &["deploy"]).await?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(6) && said.contains("wh registry login"), "{said}");

    login(&bed).await?;
    let listed = bed.wh_json(&app.folder, &["registry"]).await?;
    ensure!(listed[0]["host"] == REGISTRY && listed[0]["username"] == USER, "{listed}");
    bed.deploy(&app).await?;
    bed.serves(&app, |page| page.trim() == "private base").await?;

    let releases = bed.wh_json(&app.folder, &["releases"]).await?;
    let built = releases[0]["image"]["reference"].as_str();
    publish(&bed, built.context("a release without an image")?, &image).await?;
    let pulled = bed.folder("private-image")?;
    pulled.write("wisehosting.toml", "app = \"private-image\"\n[run]\nport = 8080\n")?;
    bed.run_wh(&pulled.folder, &["deploy", "--image", &image]).await?;
    bed.serves(&pulled, |page| page.trim() == "private base").await?;

    let absent =
        bed.try_wh(&pulled.folder, &["deploy", "--image", &format!("{REGISTRY}/team/none:1")]).await?;
    let said = String::from_utf8_lossy(&absent.stderr);
    ensure!(absent.status.code() == Some(6) && said.contains("(image_not_found)"), "{said}");

    // Both apps are of the same image.
    for app in [&app, &pulled] {
        bed.run_wh(&app.folder, &["stop"]).await?;
    }
    gone_from_workers(&bed, &image).await?;
    bed.run_wh(&pulled.folder, &["start"]).await?;
    bed.serves(&pulled, |page| page.trim() == "private base").await?;

    nowhere(&bed)?;
    bed.run_wh(&app.folder, &["registry", "rm", REGISTRY]).await?;
    let listed = bed.wh_json(&app.folder, &["registry"]).await?;
    ensure!(listed.as_array().is_some_and(Vec::is_empty), "{listed}");
    Ok(())
}

async fn a_built_image_is_kept_in_a_registry_serves_from_there_and_goes(bed: Arc<Bed>) -> Result<()> {
    start(&bed)?;
    login(&bed).await?;
    let app = bed.page("kept-away", "kept away: one", "")?;
    bed.run_wh(&app.folder, &["registry", "use", REGISTRY, "--path", "kept"]).await?;
    bed.deploy(&app).await?;
    let name = |number: u32| format!("{REGISTRY}/kept/kept-away:v{number}");
    until("the push", 2 * MINUTE, || async { has(&bed, &name(1), true) }).await?;

    bed.run_wh(&app.folder, &["stop"]).await?;
    let releases = bed.wh_json(&app.folder, &["releases"]).await?;
    let id = releases[0]["image"]["id"].as_str().context("no id")?;
    gone_from_workers(&bed, id).await?;
    bed.run_wh(&app.folder, &["start"]).await?;
    bed.serves(&app, |page| page == "kept away: one").await?;

    for page in ["kept away: two", "kept away: three"] {
        app.write("www/index.html", page)?;
        bed.deploy(&app).await?;
    }
    until("the third there and the first gone", 3 * MINUTE, || async {
        has(&bed, &name(3), true)?;
        has(&bed, &name(1), false)
    })
    .await?;
    nowhere(&bed)?;
    bed.run_wh(&app.folder, &["registry", "use", "--none"]).await?;
    bed.run_wh(&app.folder, &["registry", "rm", REGISTRY]).await?;
    Ok(())
}

/// Whether the registry has an image of that name, as expected.
fn has(bed: &Bed, name: &str, expected: bool) -> Result<Option<()>> {
    let (repository, tag) =
        name.split_once('/').and_then(|(_, path)| path.rsplit_once(':')).context("a name")?;
    let url = format!("http://{REGISTRY}/v2/{repository}/manifests/{tag}");
    // Of the worker that built it, and of one that got it from there.
    let accept = "Accept: application/vnd.oci.image.manifest.v1+json, \
                  application/vnd.docker.distribution.manifest.v2+json";
    let words = ["curl", "-sf", "-o", "/dev/null", "-u", &format!("{USER}:{PASSWORD}"), "-H", accept, &url];
    let there = bed.cluster.exec("w1", &words)?.status.success();
    ensure!(there == expected, "{name} is there: {there}");
    Ok(Some(()))
}

/// The registry, beside the proxy.
fn start(bed: &Bed) -> Result<()> {
    let host = bed.cluster.host(PROXY.name)?;
    let inside = testbed::init::INSIDE;
    std::fs::write(host.folder.join("htpasswd"), ENTRY)?;
    let config = format!(
        "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {inside}/registry}}, delete: {{enabled: true}}}}\n\
         http: {{addr: \"{REGISTRY}\"}}\nauth: {{htpasswd: {{realm: tests, path: {inside}/htpasswd}}}}\n"
    );
    std::fs::write(host.folder.join("registry.yml"), config)?;
    let words = ["docker-registry", "serve", &format!("{inside}/registry.yml")];
    host.set_service(&Service::new("registry", &words))
}

/// Pushes an image under another name, from the worker that has it, and leaves that name on neither worker.
async fn publish(bed: &Bed, image: &str, name: &str) -> Result<()> {
    let from = ["w1", "w2"].into_iter().find(|host| {
        bed.cluster
            .exec(host, &["podman", "image", "exists", image])
            .is_ok_and(|output| output.status.success())
    });
    let from = from.with_context(|| format!("no worker has {image}"))?;
    let words = ["podman", "push", "--quiet", "--creds", &format!("{USER}:{PASSWORD}"), image, name];
    until("the push", MINUTE, || async {
        let output = bed.cluster.exec(from, &words)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(Some(()))
    })
    .await
}

/// Takes the image off both workers; one may be about to fetch it from the other.
async fn gone_from_workers(bed: &Bed, image: &str) -> Result<()> {
    let format = ["podman", "image", "inspect", "--format", "{{.Id}}", image];
    let ids = ["w1", "w2"].map(|host| bed.cluster.exec(host, &format));
    let id = ids.into_iter().flatten().find(|output| output.status.success()).context("no worker has it")?;
    let id = String::from_utf8(id.stdout)?.trim().to_owned();
    until("the image gone from the workers", MINUTE, || async {
        for host in ["w1", "w2"] {
            // Without force while a container is left.
            bed.cluster.exec(host, &["sh", "-c", &format!("podman untag {id}; podman rmi {id}")])?;
        }
        for host in ["w1", "w2"] {
            let output = bed.cluster.exec(host, &["podman", "image", "exists", &id])?;
            ensure!(output.status.code() == Some(1), "{host} has it still");
        }
        Ok(Some(()))
    })
    .await
}

async fn login(bed: &Bed) -> Result<()> {
    let words = ["registry", "login", REGISTRY, "--username", USER, "--password-stdin"];
    let mut wh = bed.wh(&bed.root, &words)?;
    wh.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = wh.spawn()?;
    child.stdin.take().context("no input")?.write_all(PASSWORD.as_bytes()).await?;
    let output = child.wait_with_output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Neither on the workers nor in the database is the password, or the form in which registries are sent it.
fn nowhere(bed: &Bed) -> Result<()> {
    // Of `reader:a-password-of-the-tests`, whatever stands around it.
    let patterns = ["-e", PASSWORD, "-e", "cmVhZGVyOmEtcGFzc3dvcmQtb2YtdGhlLXRlc3Rz"];
    for host in ["w1", "w2", "cp"] {
        let words = [&["grep", "-rlaF"][..], &patterns, &["/var/lib"]].concat();
        let output = bed.cluster.exec(host, &words)?;
        let found = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.code() == Some(1) && found.is_empty(), "on {host}: {found}");
    }
    Ok(())
}
