//! Secrets of builds and apps, and the places where they must not be.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use testbed::report::until;

use crate::bed::{Bed, MINUTE};
use crate::runner::tests;

tests![a_planted_secret_reaches_its_build_step_and_is_in_no_image_log_or_database];

const SECRET: &str = "planted-S3cret-0f1e2d3c4b5a";

async fn a_planted_secret_reaches_its_build_step_and_is_in_no_image_log_or_database(
    bed: Arc<Bed>,
) -> Result<()> {
    // The step proves by a digest that it had the value, and prints it, which it should not.
    let app = bed.source(
        "planted",
        "FROM docker.io/library/busybox:stable\n\
         RUN --mount=type=secret,id=TOKEN mkdir /www && sha256sum </run/secrets/TOKEN >/www/index.html \
         && echo \"the token is $(cat /run/secrets/TOKEN)\" && base64 </run/secrets/TOKEN >&2\n\
         USER nobody\n\
         CMD [\"sh\", \"-c\", \"echo begun with $TOKEN; printf %s \\\"in ${TOKEN%-*}\\\"; sleep 1; \
         echo \\\"-${TOKEN##*-} pieces\\\"; exec httpd -f -p 8080 -h /www\"]\n",
    )?;
    bed.run_wh(&app.folder, &["apps", "create", "planted"]).await?;
    bed.run_wh(&app.folder, &["env", "set", "--build", "--stage", &format!("TOKEN={SECRET}")]).await?;
    bed.deploy(&app).await?;
    let digest = hex::encode(Sha256::digest(SECRET));
    bed.serves(&app, |page| page.starts_with(&digest)).await?;

    let deployment = bed.wh_json(&app.folder, &["deployments", "show"]).await?;
    let log = bed.build_log(deployment["id"].as_str().context("no id")?).await?;
    ensure!(log.iter().any(|line| line == "the token is [TOKEN]"), "{log:#?}");
    let encoded = STANDARD.encode(SECRET);
    ensure!(!log.iter().any(|line| line.contains(SECRET) || line.contains(&encoded)), "{log:#?}");
    until("the app's log", MINUTE, || async {
        let printed = bed.run_wh(&app.folder, &["logs"]).await?;
        ensure!(!printed.contains(SECRET), "{printed}");
        Ok((printed.contains("begun with [TOKEN]") && printed.contains("in [TOKEN] pieces")).then_some(()))
    })
    .await?;
    until("the report of both", MINUTE, || async { Ok((reports(&bed).await? == 2).then_some(())) }).await?;

    let releases = bed.wh_json(&app.folder, &["releases"]).await?;
    let image = releases[0]["image"]["reference"].as_str().context("no image")?;
    nowhere(&bed, image)
}

/// How often the audit log tells that the variable was printed.
async fn reports(bed: &Bed) -> Result<usize> {
    let audit = bed.cluster.api()?.get("/audit?limit=200").await?;
    ensure!(!audit.to_string().contains(SECRET), "{audit}");
    let of_app = |event: &&Value| event["action"] == "secret.scrubbed" && event["target"] == "app:planted";
    let events = audit["items"].as_array().context("no items")?;
    let found: Vec<&Value> = events.iter().filter(of_app).collect();
    ensure!(found.iter().all(|event| event["detail"]["variable"] == "TOKEN"), "{found:?}");
    Ok(found.len())
}

fn nowhere(bed: &Bed, image: &str) -> Result<()> {
    let script = "podman image exists \"$1\" || exit 0; \
        { podman history --no-trunc \"$1\"; podman image inspect \"$1\"; podman save \"$1\"; } | grep -acF \"$2\"";
    for host in ["w1", "w2"] {
        let output = bed.cluster.exec(host, &["sh", "-c", script, "sh", image, SECRET])?;
        let count = String::from_utf8_lossy(&output.stdout);
        ensure!(matches!(count.trim(), "" | "0"), "in {count} lines of the image on {host}");
        // The worker's own files: all but what it gives to instances, which are to have it.
        let output =
            bed.cluster.exec(host, &["grep", "-rlaF", SECRET, "/var/lib/wisehosting/worker/jobs"])?;
        ensure!(output.stdout.is_empty(), "on {host}: {}", String::from_utf8_lossy(&output.stdout));
    }
    let output = bed.cluster.exec("cp", &["grep", "-rlaF", SECRET, "/var/lib"])?;
    ensure!(
        output.status.code() == Some(1) && output.stdout.is_empty(),
        "in the database: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(())
}
