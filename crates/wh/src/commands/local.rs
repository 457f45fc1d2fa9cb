//! What the project file beside the source says and the app has not.

use reqwest::Method;
use serde_json::Value;

use super::{Shell, plan, way};
use crate::api::types::{App, Change};
use crate::api::{Client, path};
use crate::failure::Result;
use crate::project::{FILE, Found};
use crate::settings;
use crate::ui::Paint;

/// The file's settings, domains and routes that differ from the app's.
#[derive(Debug, Default)]
pub(super) struct Local {
    app: String,
    present: Value,
    said: Value,
    /// Of settings.
    changes: Vec<Change>,
    pub(super) way: way::Plan,
}

/// Empty without a project file of this app.
pub(super) async fn read(shell: &Shell, client: &Client) -> Result<Local> {
    let app = shell.app()?;
    let Some(Found { project, .. }) =
        Shell::project()?.filter(|found| found.project.app.as_ref() == Some(&app))
    else {
        return Ok(Local::default());
    };
    let way = way::read(client, &app, &project).await?;
    let said = project.settings();
    if said.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(Local { way, ..Local::default() });
    }
    let present = client.get::<App>(&path(&["apps", &app])).await?.settings;
    let changes = settings::changes(&present, &settings::merged(&present, &said));
    Ok(Local { app, present, said, changes, way })
}

impl Local {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.way.is_empty()
    }

    /// Settings first.
    pub(super) fn all(&self) -> Vec<Change> {
        self.changes.iter().cloned().chain(self.way.changes()).collect()
    }

    /// Whether a setting can be sent that needs no build.
    pub(super) fn is_sendable(&self) -> bool {
        self.changes.iter().any(|change| change.impact != "build")
    }

    pub(super) fn needs_build(&self) -> bool {
        self.changes.iter().any(|change| change.impact == "build")
    }

    /// Makes the app's settings what the file says, but for how it is built.
    pub(super) async fn send(&self, client: &Client) -> Result<()> {
        let mut said = self.said.clone();
        if let Some(said) = said.as_object_mut() {
            said.remove("containerfile");
        }
        let patch = settings::patch(&self.present, &settings::merged(&self.present, &said));
        client.send::<App>(Method::PATCH, &path(&["apps", &self.app]), &patch).await.map(drop)
    }

    pub(super) fn render(&self, paint: Paint) -> String {
        let line = |change: &Change| {
            let takes =
                if change.impact == "build" { paint.dim("  (`wh deploy` builds it)") } else { String::new() };
            format!("{}{takes}\n", paint.yellow(&format!("{FILE}: {}", plan::arrow(change))))
        };
        self.all().iter().map(line).collect()
    }
}
