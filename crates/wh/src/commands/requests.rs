//! An app's requests one by one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use chrono::{DateTime, Local, TimeDelta, Utc};

use super::Shell;
use crate::api::types::{Accessed, AccessedPage};
use crate::api::{Client, path_with};
use crate::args;
use crate::failure::Result;
use crate::ui::table::{Cell, Table};
use crate::ui::time::{age_of, ms};
use crate::ui::{Ui, sanitize};

/// Between two looks for new ones; they come in every 10 s.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a control plane may be away while its requests are followed.
const PATIENCE: Duration = Duration::from_mins(5);
/// Requests of one look.
const PAGE: u8 = 200;
/// Pages of one look: what came in between two looks and is more than that is left out.
const PAGES: usize = 5;
/// Requests that are remembered as shown: those of two looks.
const SEEN: usize = 2 * PAGES * PAGE as usize;
/// How late a request may come in: what a host tells later counts for the time at which it is told.
const LATE: TimeDelta = TimeDelta::minutes(5);

pub(crate) async fn run(shell: &Shell, asked: args::Requests) -> Result<()> {
    let app = asked.app_name.clone().map_or_else(|| shell.app(), Ok)?;
    let wanted = Wanted { client: shell.client()?, app, filter: filter(&asked) };
    let page = wanted.page(asked.limit, None).await?;
    if asked.follow {
        return follow(shell.ui, &wanted, page.items).await;
    }
    if shell.ui.json {
        return crate::ui::json(&page);
    }
    if page.items.is_empty() {
        shell.ui.note(&none(&page));
        return Ok(());
    }
    let mut table = Table::new(&["WHEN", "STATUS", "METHOD", "HOST", "PATH", "TOOK", "CLIENT", "NODE"]);
    for request in &page.items {
        let status = request.status.to_string();
        table.row(vec![
            Cell::dim(age_of(Some(request.at))),
            if request.status < 500 { Cell::plain(status) } else { Cell::name(status) },
            Cell::plain(&request.method),
            Cell::plain(&request.host),
            Cell::plain(&request.path),
            Cell::plain(ms(request.took_ms)),
            Cell::plain(request.client.as_deref().unwrap_or_default()),
            Cell::dim(&request.node),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

/// Why there may be none.
fn none(page: &AccessedPage) -> String {
    match page.kept_since {
        _ if page.kept_days == 0 => {
            "no requests are kept: `traffic.requests_per_app` of the control plane is 0".to_owned()
        }
        Some(since) => format!(
            "no such requests among those that are kept, for {} days at most: the oldest came {}",
            page.kept_days,
            age_of(Some(since))
        ),
        None => format!("no requests in the last {} days", page.kept_days),
    }
}

fn filter(asked: &args::Requests) -> Vec<(&'static str, String)> {
    let slower = asked.slower_than.map(|time| time.as_millis().to_string());
    let filter = [
        ("status", &asked.status),
        ("method", &asked.method),
        ("path", &asked.path),
        ("host", &asked.host),
        ("client", &asked.client),
        ("slower_than_ms", &slower),
    ];
    filter.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
}

/// Which requests of which app.
struct Wanted {
    client: Client,
    app: String,
    filter: Vec<(&'static str, String)>,
}

impl Wanted {
    /// The newest first.
    async fn page(&self, limit: u8, before: Option<&str>) -> Result<AccessedPage> {
        let limit = limit.to_string();
        let mut query: Vec<(&str, &str)> =
            self.filter.iter().map(|(name, value)| (*name, value.as_str())).collect();
        query.push(("limit", &limit));
        query.extend(before.map(|before| ("before", before)));
        self.client.get(&path_with(&["apps", &self.app, "requests"], &query)).await
    }

    /// Those that were not seen, the newest first.
    async fn unseen(&self, seen: &Seen) -> Result<Vec<Accessed>> {
        let mut found = Vec::new();
        let mut before = None;
        for _ in 0..PAGES {
            let page = self.page(PAGE, before.as_deref()).await?;
            let oldest = page.items.last().map(|request| request.at);
            let known = found.len();
            found.extend(page.items.into_iter().filter(|request| seen.lacks(request)));
            before = page.next;
            // Hosts tell theirs by turns: one that was seen may have others behind it, a page of them hardly.
            if before.is_none() || found.len() == known || oldest.is_none_or(|oldest| seen.is_over(oldest)) {
                break;
            }
        }
        Ok(found)
    }
}

/// What was shown. Requests come in out of order, from several hosts.
struct Seen {
    ids: VecDeque<String>,
    /// What is older was there before the first look, which was not to show it.
    from: Option<DateTime<Utc>>,
    newest: Option<DateTime<Utc>>,
}

impl Seen {
    fn lacks(&self, request: &Accessed) -> bool {
        self.from.is_none_or(|from| request.at >= from) && !self.ids.contains(&request.id)
    }

    /// Whether nothing can have come in any more behind a request of that time.
    fn is_over(&self, at: DateTime<Utc>) -> bool {
        self.newest.is_some_and(|newest| at < newest - LATE)
    }

    fn note(&mut self, request: &Accessed) {
        self.newest = self.newest.max(Some(request.at));
        self.ids.push_back(request.id.clone());
        if self.ids.len() > SEEN {
            self.ids.pop_front();
        }
    }
}

/// Until the reader stops.
async fn follow(ui: Ui, wanted: &Wanted, first: Vec<Accessed>) -> Result<()> {
    let mut seen = Seen { ids: VecDeque::new(), from: first.last().map(|oldest| oldest.at), newest: None };
    let mut new = first;
    let mut lost: Option<Instant> = None;
    loop {
        for request in new.drain(..).rev() {
            seen.note(&request);
            crate::ui::data(&line(ui, &request)?)?;
        }
        tokio::time::sleep(PAUSE).await;
        match wanted.unseen(&seen).await {
            Ok(found) => (new, lost) = (found, None),
            Err(failure) if failure.is_lost() || failure.code == "unavailable" => {
                if lost.is_none() {
                    ui.note(&ui.err_paint().dim("connection lost, trying again"));
                }
                if lost.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                    return Err(failure);
                }
            }
            Err(failure) => return Err(failure),
        }
    }
}

fn line(ui: Ui, request: &Accessed) -> Result<String> {
    if ui.json {
        return crate::ui::json_line(request);
    }
    let paint = ui.out_paint();
    let status = request.status.to_string();
    let status = match request.status {
        500.. => paint.red(&status),
        400.. => paint.yellow(&status),
        _ => paint.green(&status),
    };
    let url = format!("{}{}", request.host, request.path);
    let rest = [ms(request.took_ms), request.client.clone().unwrap_or_default()].join(" ");
    let clock = request.at.with_timezone(&Local).format("%H:%M:%S").to_string();
    let words = [sanitize(&request.method), sanitize(&url).replace('\n', " "), sanitize(&rest)].join(" ");
    Ok(format!("{} {status} {}", paint.dim(&clock), words.trim_end()))
}
