//! Releases, and the way back to one.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Shell, watch};
use crate::api::types::{Deployment, Release, Source};
use crate::failure::Result;
use crate::ui::table::{Cell, Table};
use crate::ui::time::{age_of, size};

pub(crate) async fn ls(shell: &Shell) -> Result<()> {
    let mut releases: Vec<Release> = shell.client()?.list(&shell.app_path(&["releases"])?).await?;
    releases.sort_by_key(|release| std::cmp::Reverse(release.number));
    if shell.ui.json {
        return crate::ui::json(&releases);
    }
    if releases.is_empty() {
        shell.ui.note("no releases yet: `wh deploy` makes the first");
        return Ok(());
    }
    let mut table = Table::new(&["RELEASE", "CREATED", "SOURCE", "COMMIT", "IMAGE", "SIZE", ""]);
    for release in &releases {
        let image = release.image.id.strip_prefix("sha256:").unwrap_or(&release.image.id);
        table.row(vec![
            Cell::name(release.number.to_string()),
            Cell::plain(age_of(release.created_at)),
            Cell::plain(source(release.source.as_ref())),
            Cell::plain(start(release.commit.as_deref().unwrap_or_default(), 8)),
            Cell::dim(start(image, 12)),
            Cell::plain(if release.image.size_bytes > 0 {
                size(release.image.size_bytes)
            } else {
                String::new()
            }),
            if release.current { Cell::status("live") } else { Cell::plain(" ") },
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

/// A source in words, whether the server sends it as an object or as words already.
fn source(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(words)) => words.clone(),
        Some(value) => serde_json::from_value::<Source>(value.clone())
            .map(|source| source.to_string())
            .unwrap_or_default(),
        None => String::new(),
    }
}

fn start(text: &str, length: usize) -> &str {
    text.get(..length).unwrap_or(text)
}

pub(crate) async fn rollback(shell: &Shell, release: Option<i64>, detach: bool) -> Result<()> {
    let client = shell.client()?;
    let body = release.map_or(json!({}), |number| json!({ "release": number }));
    let deployment: Deployment = client.send(Method::POST, &shell.app_path(&["rollback"])?, &body).await?;
    let paint = shell.ui.err_paint();
    let target = release.map_or("to the release before".to_owned(), |number| format!("to release {number}"));
    let what = format!("rollback {target}");
    shell.ui.note(&format!(
        "{} deployment {} · {}",
        paint.bold(&deployment.app.slug),
        deployment.number,
        paint.dim(&what)
    ));
    watch::finish(shell, &client, deployment, detach).await
}
