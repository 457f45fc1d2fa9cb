//! What somebody should look at.

use super::Shell;
use crate::api::types::Notice;
use crate::failure::Result;
use crate::ui::table::{Cell, Table};
use crate::ui::time;

pub(crate) async fn run(shell: &Shell, all: bool) -> Result<()> {
    let place = if all { "/notices?resolved=true" } else { "/notices" };
    let notices: Vec<Notice> = shell.client()?.list(place).await?;
    if shell.ui.json {
        return crate::ui::json(&notices);
    }
    if notices.is_empty() {
        shell.ui.note("nothing to look at");
        return Ok(());
    }
    let mut table = Table::new(&["SEVERITY", "SINCE", "NOTICE", "WHAT TO DO"]);
    for notice in &notices {
        table.row(vec![
            Cell::status(if notice.resolved_at.is_some() { "resolved" } else { &notice.severity }),
            Cell::plain(time::age_of(Some(notice.first_seen))),
            Cell::plain(&notice.text),
            Cell::plain(notice.hint.as_deref().unwrap_or_default()),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}
