//! Images that nothing needs leave the workers; what may serve again stays.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testbed::report::until;

use crate::bed::{Bed, MINUTE};
use crate::runner::tests;

tests![long an_old_image_goes_from_the_nodes_and_the_way_back_to_it_is_refused];

async fn an_old_image_goes_from_the_nodes_and_the_way_back_to_it_is_refused(bed: Arc<Bed>) -> Result<()> {
    // No other app has these pages: the same source may make the same image, which the other app would keep.
    let app = bed.page("aging", "aging: one", "")?;
    bed.deploy(&app).await?;
    for page in ["aging: two", "aging: three"] {
        app.write("www/index.html", page)?;
        bed.deploy(&app).await?;
    }
    bed.serves(&app, |page| page == "aging: three").await?;
    // The first is in use until its instance is drained and has been stopped.
    let releases = until("the first release no longer kept", MINUTE, || async {
        let releases = bed.wh_json(&app.folder, &["releases"]).await?;
        let kept: Vec<_> =
            releases.as_array().context("no list")?.iter().map(|release| &release["kept"]).collect();
        ensure!(kept == [true, true, false], "{releases}");
        Ok(Some(releases))
    })
    .await?;
    let image = |index: usize| releases[index]["image"]["id"].as_str().map(str::to_owned).context("no id");
    let (third, second, first) = (image(0)?, image(1)?, image(2)?);
    until("two copies of what is kept, and none of the first image", 2 * MINUTE, || async {
        let (one, two) = (images_on(&bed, "w1")?, images_on(&bed, "w2")?);
        for kept in [&third, &second] {
            ensure!(one.contains(kept) && two.contains(kept), "{kept} is not on both");
        }
        ensure!(!one.contains(&first) && !two.contains(&first), "{first} is there still");
        Ok(Some(()))
    })
    .await?;
    bed.serves(&app, |page| page == "aging: three").await?;

    let refused = bed.try_wh(&app.folder, &["rollback", "1"]).await?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(!refused.status.success() && said.contains("not kept any more"), "{said}");
    ensure!(said.contains("Deploy its source again"), "no remedy: {said}");
    // A worker tells its images each minute.
    until("the removal in the audit log", 2 * MINUTE, || async {
        let audit = bed.cluster.api()?.get("/audit").await?;
        let events = audit["items"].as_array().context("no list")?;
        let removed = events.iter().find(|event| event["action"] == "image.remove").context("no removal")?;
        ensure!(removed["detail"]["releases"] == json!(["aging v1"]), "{removed}");
        Ok(Some(()))
    })
    .await
}

/// Ids of all images on a node, in Podman's own words.
fn images_on(bed: &Bed, node: &str) -> Result<String> {
    let output = bed.cluster.exec(node, &["podman", "images", "--all", "--quiet", "--no-trunc"])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
