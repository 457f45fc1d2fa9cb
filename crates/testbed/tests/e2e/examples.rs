//! The apps in `examples/presets`, built by real compilers on the images that `scripts/base-images` makes. Whoever wants
//! them asks for ignored tests: `scripts/test examples`.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use crate::bed::{App, Bed};
use crate::runner::tests;

tests![
    a_nextjs_app_is_built_and_renders,
    a_go_program_is_built_and_answers,
    a_python_program_is_built_and_answers,
    a_vite_app_is_built_and_routes_its_own_paths,
    a_rust_program_is_built_and_answers,
    a_node_program_is_built_and_answers,
    a_site_is_served_by_its_own_rules,
];

async fn a_node_program_is_built_and_answers(bed: Arc<Bed>) -> Result<()> {
    let app = deployed(&bed, "node").await?;
    bed.serves(&app, |page| page.starts_with("Hello from Node.js, up for ")).await?;
    Ok(())
}

async fn a_nextjs_app_is_built_and_renders(bed: Arc<Bed>) -> Result<()> {
    let app = deployed(&bed, "nextjs").await?;
    bed.serves(&app, |page| page.contains("Hello from Next.js, rendered on the server")).await?;
    Ok(())
}

async fn a_vite_app_is_built_and_routes_its_own_paths(bed: Arc<Bed>) -> Result<()> {
    let app = deployed(&bed, "vite").await?;
    let page = bed.serves(&app, |page| page.contains("Hello from Vite")).await?.text();
    let script = page.split('"').find(|word| word.starts_with("/assets/")).context("no script")?;
    let answer = bed.cluster.https(&app.host(), script).await?;
    ensure!(answer.status == 200 && answer.text().contains("location.pathname"), "{}", answer.text());
    let kept = answer.headers.get("cache-control").and_then(|value| value.to_str().ok());
    ensure!(kept.is_some_and(|kept| kept.contains("immutable")), "{script}: {kept:?}");
    let answer = bed.cluster.https(&app.host(), "/any/path").await?;
    ensure!(answer.status == 200 && answer.text() == page, "{}: {}", answer.status, answer.text());
    Ok(())
}

async fn a_go_program_is_built_and_answers(bed: Arc<Bed>) -> Result<()> {
    let app = deployed(&bed, "go").await?;
    bed.serves(&app, |page| page == "Hello from Go\n").await?;
    Ok(())
}

async fn a_python_program_is_built_and_answers(bed: Arc<Bed>) -> Result<()> {
    let app = deployed(&bed, "python").await?;
    bed.serves(&app, |page| page == "Hello from Python\n").await?;
    Ok(())
}

async fn a_rust_program_is_built_and_answers(bed: Arc<Bed>) -> Result<()> {
    let app = deployed(&bed, "rust").await?;
    bed.serves(&app, |page| page == "Hello from Rust\n").await?;
    Ok(())
}

async fn a_site_is_served_by_its_own_rules(bed: Arc<Bed>) -> Result<()> {
    let app = deployed(&bed, "static").await?;
    bed.serves(&app, |page| page.contains("Hello from static files")).await?;
    for (path, status, location) in [
        ("/hello/you?x=1", 301, Some("/?name=you")),
        ("/old/a/b?x=1", 302, Some("/a/b?x=1")),
        ("/old//elsewhere.example.com", 302, Some("/elsewhere.example.com")),
        ("/old/%0d%0aX-Evil:%201", 302, Some("/%0d%0aX-Evil:%201")),
        ("/no/such/page", 404, None),
        ("/_redirects", 404, None),
    ] {
        let answer = bed.cluster.https(&app.host(), path).await?;
        let header = |name| answer.headers.get(name).and_then(|value| value.to_str().ok());
        ensure!(answer.status == status, "{path}: {}", answer.status);
        ensure!(header("location") == location, "{path}: {:?}", header("location"));
        ensure!(header("x-frame-options") == Some("DENY"), "{path} without its header");
        ensure!(status != 404 || answer.text().contains("There is no such page"), "{}", answer.text());
    }
    Ok(())
}

/// The example of a preset, built by it and by nothing else.
async fn deployed(bed: &Bed, preset: &str) -> Result<App> {
    let app = App { name: format!("hello-{preset}"), folder: bed.root.join("examples/presets").join(preset) };
    ensure!(!app.folder.join("Containerfile").exists(), "{} has a Containerfile", app.folder.display());
    let images = bed.cluster.exec("w1", &["podman", "image", "exists", "docker.io/library/node:24-slim"])?;
    ensure!(images.status.success(), "no base images: make them with scripts/base-images CACHE/base-images");
    bed.run_wh(&app.folder, &["deploy"]).await?;
    let deployment = bed.wh_json(&app.folder, &["deployments", "show"]).await?;
    ensure!(deployment["recipe"]["preset"] == preset, "{deployment}");
    Ok(app)
}
