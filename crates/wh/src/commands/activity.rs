//! What happened to an app.

use super::Shell;
use crate::api::path_with;
use crate::api::types::{Activity, Page};
use crate::failure::Result;
use crate::ui::table::{Cell, Table};
use crate::ui::time::age_of;

pub(crate) async fn run(shell: &Shell, app: Option<String>, limit: u8) -> Result<()> {
    let app = app.map_or_else(|| shell.app(), Ok)?;
    let path = path_with(&["apps", &app, "activity"], &[("limit", &limit.to_string())]);
    let page: Page<Activity> = shell.client()?.get(&path).await?;
    if shell.ui.json {
        return crate::ui::json(&page.items);
    }
    let mut table = Table::new(&["WHEN", "WHAT"]);
    for event in &page.items {
        table.row(vec![Cell::dim(age_of(Some(event.at))), Cell::plain(&event.text)]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}
