//! What is wrong is refused with a message that names the cause and the remedy, and nothing is lost.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tar::{EntryType, Header};
use testbed::api::Refused;
use testbed::{software, topology};

use crate::bed::Bed;
use crate::runner::tests;

tests![
    a_join_token_that_is_no_good_is_refused_with_its_remedy,
    a_project_file_with_an_unknown_key_is_refused_before_anything_happens,
    a_taken_slug_is_refused,
    a_source_that_is_not_there_is_named,
    long a_release_that_does_not_come_up_tells_why_and_the_old_one_serves,
    an_archive_that_could_do_harm_is_refused,
    a_second_test_bed_or_control_plane_is_refused,
];

const NOBODY: u32 = 65534;
const EXIT_USAGE: i32 = 2;
const EXIT_CONFLICT: i32 = 5;
const EXIT_DEPLOY_FAILED: i32 = 6;

/// The output ended with this code and says all of these words.
fn said(output: &Output, code: i32, words: &[&str]) -> Result<()> {
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.code() == Some(code), "ended with {}, not {code}\n{text}", output.status);
    for word in words {
        ensure!(text.contains(word), "does not say `{word}`:\n{text}");
    }
    Ok(())
}

/// The API refused with this status and code, and says all of these words.
fn refused(result: Result<Value>, status: u16, code: &str, words: &[&str]) -> Result<()> {
    let error = match result {
        Ok(body) => bail!("taken: {body}"),
        Err(error) => error.downcast::<Refused>()?,
    };
    ensure!((error.status, error.code()) == (status, code), "{error}");
    ensure!(error.body["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "no remedy: {error}");
    let text = error.body.to_string();
    for word in words {
        ensure!(text.contains(word), "does not say `{word}`: {text}");
    }
    Ok(())
}

async fn a_join_token_that_is_no_good_is_refused_with_its_remedy(bed: Arc<Bed>) -> Result<()> {
    let api = bed.cluster.api()?;
    let used = new_token(&bed).await?;
    said(&join(&bed, &used, "stranger-one", "one")?, 0, &["joined"])?;
    let expired = new_token(&bed).await?;
    let age = "update node_tokens set expires_at = now() - interval '1 minute' where used_at is null";
    let database = "postgres://wise@localhost/wisehosting?host=/var/lib/postgresql/run";
    said(&bed.cluster.exec("cp", &["psql", database, "-c", age])?, 0, &["UPDATE"])?;
    let before = api.get("/nodes").await?;
    for (token, word) in
        [(used.as_str(), "already used"), (expired.as_str(), "expired"), ("whj_00000000", "not a join token")]
    {
        // It goes on, waiting for a better one.
        said(&join(&bed, token, "stranger-two", "two")?, 0, &["refused", word, "`wh node add"])?;
    }
    let names = |nodes: &Value| -> Vec<String> {
        nodes["items"].as_array().into_iter().flatten().map(|node| node["name"].to_string()).collect()
    };
    ensure!(names(&before) == names(&api.get("/nodes").await?), "a node more than before");
    api.delete("/nodes/stranger-one").await?;
    Ok(())
}

async fn new_token(bed: &Bed) -> Result<String> {
    let made = bed.cluster.api()?.post("/node-tokens", json!({ "roles": ["worker"] })).await?;
    Ok(made["token"].as_str().context("no token")?.to_owned())
}

/// Runs a second mesh agent on `w2`, with a state of its own, until it has joined or given up. It says "joined" at
/// once; its tunnel is another agent's matter.
fn join(bed: &Bed, token: &str, name: &str, folder: &str) -> Result<Output> {
    let host = bed.cluster.host("w2")?;
    let state = format!("/var/tmp/join-{folder}");
    let outside = host.folder.join("tmp").join(format!("join-{folder}"));
    fs::create_dir_all(&outside)?;
    fs::write(outside.join("join-token"), token)?;
    let config = json!({
        "state_dir": state,
        "interface": "wh9",
        "port": 51999,
        "node": { "name": name, "roles": ["worker"] },
        "control_plane": {
            "url": topology::JOIN_URL,
            "root_certificate": "/run/testbed/host/authority.pem",
        },
    });
    fs::write(outside.join("mesh.json"), config.to_string())?;
    let config = format!("{state}/mesh.json");
    let agent = "/run/testbed/bin/wisehosting-mesh";
    let output =
        bed.cluster.exec("w2", &["timeout", "--preserve-status", "5", agent, "run", "--config", &config])?;
    Ok(output)
}

async fn a_project_file_with_an_unknown_key_is_refused_before_anything_happens(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("misspelt", "never", "")?;
    app.write("wisehosting.toml", "app = \"misspelt\"\n[run]\nport = 8080\n[resources]\nmemory = 64\n")?;
    let output = bed.try_wh(&app.folder, &["deploy"]).await?;
    said(
        &output,
        EXIT_USAGE,
        &["wisehosting.toml line 5", "unknown key `memory`", "did you mean `memory_mb`?"],
    )?;
    refused(bed.cluster.api()?.get("/apps/misspelt").await, 404, "not_found", &["misspelt"])
}

async fn a_taken_slug_is_refused(bed: Arc<Bed>) -> Result<()> {
    let api = bed.cluster.api()?;
    let app = api.post("/apps", json!({ "slug": "taken" })).await?;
    let output = bed.try_wh(&bed.root, &["apps", "create", "taken"]).await?;
    said(&output, EXIT_CONFLICT, &["slug_taken", "field slug", "hint: Choose another slug"])?;
    ensure!(api.get("/apps/taken").await?["id"] == app["id"], "another app");
    Ok(())
}

/// Deployments of an app, oldest first, as `number state`.
async fn history(bed: &Bed, app: &str) -> Result<Vec<String>> {
    let list = bed.cluster.api()?.get(&format!("/apps/{app}/deployments")).await?;
    let items = list["items"].as_array().context("no list")?;
    let mut all: Vec<String> =
        items.iter().map(|item| format!("{} {}", item["number"], item["state"])).collect();
    all.sort();
    Ok(all)
}

async fn a_source_that_is_not_there_is_named(bed: Arc<Bed>) -> Result<()> {
    bed.cluster.api()?.post("/apps", json!({ "slug": "sourceless", "port": 8080 })).await?;
    let deploy = async |words: &[&str], code: i32, expected: &[&str]| {
        let words = [&["deploy", "--app", "sourceless"], words].concat();
        said(&bed.try_wh(&bed.root, &words).await?, code, expected).with_context(|| words.join(" "))
    };
    let failed = EXIT_DEPLOY_FAILED;
    deploy(&["--image", "Bad Name"], 1, &["source_invalid", "field source.reference", "such as"]).await?;
    deploy(&["--git", "file:///etc"], 1, &["source_invalid", "field source.url", "Use https://"]).await?;
    deploy(
        &["--git", "https://198.51.100.1/none.git"],
        failed,
        &["repository_unreachable", "https://198.51.100.1/none.git", "hint: "],
    )
    .await?;
    // Neither the mesh, nor the worker itself, nor a cloud's metadata; in whatever notation.
    for inside in
        ["http://10.50.0.1:8081/a", "git://127.1/a", "git@localhost:a/b", "https://169.254.169.254/a"]
    {
        deploy(
            &["--git", inside],
            failed,
            &["repository_private", "not a public address", "builds.private_networks"],
        )
        .await?;
    }
    deploy(&["--image", "10.50.0.1:8081/a/b:1"], failed, &["image_private", "10.50.0.1"]).await?;
    deploy(
        &["--image", "198.51.100.1:5999/a/b:1"],
        failed,
        &["198.51.100.1:5999/a/b:1", "cannot be pulled", "hint: Check that this worker reaches the registry"],
    )
    .await?;
    ensure!(bed.cluster.api()?.get("/apps/sourceless").await?["release"].is_null(), "a release of nothing");
    Ok(())
}

async fn a_release_that_does_not_come_up_tells_why_and_the_old_one_serves(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("steady", "the old one", "")?;
    bed.deploy(&app).await?;
    let project = fs::read_to_string(app.folder.join("wisehosting.toml"))?;
    let cases: [(&str, &[&str]); 6] = [
        (
            "RUN echo fine\nRUN echo this-broke >&2; exit 3",
            &["containerfile_failed", "line 3 of Containerfile", "this-broke", "exit code  3", "hint: "],
        ),
        (
            "CMD [\"sh\", \"-c\", \"echo no DATABASE_URL; exit 7\"]",
            &["(exited)", "exit code  7", "│ no DATABASE_URL", "hint: The last lines"],
        ),
        (
            "CMD [\"sleep\", \"1000\"]",
            &["(never_listened)", "GET http://10.50.0.", "connection refused", "attempts)", "0.0.0.0"],
        ),
        (
            "CMD [\"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/bin\"]",
            &["(probe_failed)", "GET http://10.50.0.", "404", "hint: "],
        ),
        (
            "CMD [\"httpd\", \"-f\", \"-p\", \"3000\"]",
            &[
                "(wrong_port)",
                "the app listens on port 3000, and is expected on 8080",
                "hint: Set `port = 3000`",
            ],
        ),
        (
            "CMD [\"dd\", \"if=/dev/zero\", \"of=/dev/null\", \"bs=200M\", \"count=1\"]",
            &["exit code  137", "memory     exhausted", "limit of 32 MB", "raise `memory_mb`"],
        ),
    ];
    for (lines, expected) in cases {
        // Only who neither ends nor becomes healthy is waited for to the end.
        let patience = if lines.contains("sleep") || lines.contains("httpd") { 4 } else { 30 };
        let settings = format!("{project}start_within_s = {patience}\n[resources]\nmemory_mb = 32\n");
        app.write("wisehosting.toml", &settings)?;
        app.write("Containerfile", &format!("FROM docker.io/library/busybox:stable\n{lines}\n"))?;
        let output = bed.try_wh(&app.folder, &["deploy"]).await?;
        said(&output, EXIT_DEPLOY_FAILED, expected).with_context(|| lines.to_owned())?;
        bed.serves(&app, |page| page == "the old one").await?;
    }
    let release = bed.cluster.api()?.get("/apps/steady").await?["release"]["number"].clone();
    ensure!(history(&bed, "steady").await?.len() == 7, "each attempt is kept");
    ensure!(release == 1, "release {release} is current");
    Ok(())
}

/// A gzipped tar with one entry of exactly this name, which a proper tool would not write.
fn archive(kind: EntryType, name: &str, link: &str) -> Result<Vec<u8>> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(0);
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    tar.append(&header, std::io::empty())?;
    Ok(tar.into_inner()?.finish()?)
}

async fn an_archive_that_could_do_harm_is_refused(bed: Arc<Bed>) -> Result<()> {
    let api = bed.cluster.api()?;
    api.post("/apps", json!({ "slug": "packed" })).await?;
    let upload = |archive: Vec<u8>| api.upload("packed", archive);
    for (kind, name, link, why) in [
        (EntryType::Regular, "../evil", "", "has .. in its path"),
        (EntryType::Regular, "/etc/evil", "", "absolute path"),
        (EntryType::Symlink, "inside/link", "../../etc", "symbolic link out of the archive"),
        (EntryType::Char, "null", "", "is a device"),
    ] {
        refused(upload(archive(kind, name, link)?).await, 422, "archive_unsafe", &[name, why])?;
    }
    refused(upload(b"no gzip".to_vec()).await, 422, "archive_not_gzip_tar", &["tar -czf"])?;
    let large = vec![0; (100 << 20) + 1];
    refused(upload(large).await, 413, "archive_too_large", &["larger than", ".dockerignore"])?;

    // `wh` never packs such a link: it says so and goes on without it.
    let app = bed.page("packed-by-wh", "packed", "")?;
    std::os::unix::fs::symlink("../../../etc", app.folder.join("www/out"))?;
    let output = bed.try_wh(&app.folder, &["deploy"]).await?;
    said(&output, 0, &["www/out is a link out of the folder"])?;
    bed.serves(&app, |page| page == "packed").await?;
    let escaped = bed.cluster.https(&app.host(), "/out/hostname").await?;
    ensure!(escaped.status == 404, "the link was deployed: {}", escaped.status);
    ensure!(history(&bed, "packed").await?.is_empty(), "a deployment of a refused archive");
    Ok(())
}

async fn a_second_test_bed_or_control_plane_is_refused(bed: Arc<Bed>) -> Result<()> {
    let program = bed.cluster.programs().join("wh-testbed");
    let state = bed.cluster.state().parent().context("no state")?;
    let up = |state: &std::path::Path| {
        let mut command = Command::new(&program);
        command.arg("--state").arg(state).args(["up", "--app", "none"]);
        command
    };
    said(&up(state).output()?, 1, &["running here already", "Ctrl-C", "kill "])?;

    let other = bed.cluster.state().join("other");
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    let output = up(&other).args(["--port", &port.to_string()]).output()?;
    said(&output, 1, &[&format!("127.0.0.1:{port} is taken by"), "--port PORT"])?;
    ensure!(!other.exists(), "a refused run left {}", other.display());

    let copy = tempfile::tempdir()?;
    fs::set_permissions(copy.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let copied = copy.path().join("wh-testbed");
    fs::copy(&program, &copied)?;
    let output = Command::new(&copied).args(["up"]).current_dir("/").uid(NOBODY).gid(NOBODY).output()?;
    said(&output, 1, &["needs root", "sudo"])?;

    let serve = software::subcommand(software::CONTROL_PLANE, &["serve"]);
    let serve: Vec<&str> = ["timeout", "20"].into_iter().chain(serve.iter().map(String::as_str)).collect();
    let output = bed.cluster.exec("cp", &serve)?;
    said(
        &output,
        output.status.code().unwrap_or_default(),
        &["cannot listen on", "`api_server.", "ss -ltnp"],
    )?;
    ensure!(!output.status.success() && output.status.code() != Some(124), "ended with {}", output.status);
    ensure!(bed.cluster.api()?.get("/nodes/w1").await?["status"] == "online", "w1 is gone");
    Ok(())
}
