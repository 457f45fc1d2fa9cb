//! What the project file beside the source says and the app has not.

use reqwest::Method;
use serde_json::Value;

use super::{Shell, plan};
use crate::api::types::{App, Change};
use crate::api::{Client, path};
use crate::failure::Result;
use crate::project::{FILE, Found};
use crate::settings;
use crate::ui::Paint;

/// The file's settings that differ from the app's.
#[derive(Debug, Default)]
pub(super) struct Local {
    app: String,
    present: Value,
    said: Value,
    pub(super) changes: Vec<Change>,
}

/// Empty without a project file of this app.
pub(super) async fn read(shell: &Shell, client: &Client) -> Result<Local> {
    let app = shell.app()?;
    let Some(Found { project, .. }) =
        Shell::project()?.filter(|found| found.project.app.as_ref() == Some(&app))
    else {
        return Ok(Local::default());
    };
    let said = project.settings();
    if said.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(Local::default());
    }
    let present = client.get::<App>(&path(&["apps", &app])).await?.settings;
    let changes = settings::changes(&present, &settings::merged(&present, &said));
    Ok(Local { app, present, said, changes })
}

impl Local {
    /// Whether something can be sent that needs no build.
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
        self.changes.iter().map(line).collect()
    }
}
