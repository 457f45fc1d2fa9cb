//! Switching between control planes.

use serde_json::json;

use super::Shell;
use crate::args::ContextCommand;
use crate::context::{self, Context, Store};
use crate::failure::{Exit, Failure, Result};
use crate::ui::table::{Cell, Table, facts};

pub(crate) fn run(shell: &Shell, command: ContextCommand) -> Result<()> {
    let config = context::path()?;
    let mut store = Store::load(&config)?;
    match command {
        ContextCommand::Ls => ls(shell, &store),
        ContextCommand::Show { name } => show(shell, &store, name),
        ContextCommand::Use { name } => {
            store.get(&name)?;
            store.current = Some(name.clone());
            store.save(&config)?;
            shell.ui.done(&format!("now using {name}"));
            Ok(())
        }
        ContextCommand::Rm { name } => {
            store.get(&name)?;
            store.contexts.remove(&name);
            if store.current.as_deref() == Some(&name) {
                store.current = None;
            }
            store.save(&config)?;
            shell.ui.done(&format!("forgot {name}"));
            Ok(())
        }
    }
}

/// Without the token: this is for people to see and paste.
fn public(name: &str, context: &Context, store: &Store) -> serde_json::Value {
    json!({
        "name": name, "url": context.url, "email": context.email, "organization": context.organization,
        "ca_file": context.ca_file, "signed_in": context.token.is_some(),
        "current": store.current.as_deref() == Some(name),
    })
}

fn ls(shell: &Shell, store: &Store) -> Result<()> {
    if shell.ui.json {
        let all: Vec<_> = store.contexts.iter().map(|(name, context)| public(name, context, store)).collect();
        return crate::ui::json(&all);
    }
    if store.contexts.is_empty() {
        shell.ui.note("no contexts yet: `wh login https://your-control-plane`");
        return Ok(());
    }
    let mut table = Table::new(&["", "CONTEXT", "CONTROL PLANE", "USER"]);
    for (name, context) in &store.contexts {
        let mark = if store.current.as_deref() == Some(name) { "*" } else { " " };
        let user = match (&context.email, &context.token) {
            (Some(email), Some(_)) => Cell::plain(email),
            _ => Cell::dim("signed out"),
        };
        table.row(vec![Cell::plain(mark), Cell::name(name), Cell::plain(context.url.as_str()), user]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

fn show(shell: &Shell, store: &Store, name: Option<String>) -> Result<()> {
    let name =
        name.or_else(|| shell.global.context.clone()).or_else(|| store.current.clone()).ok_or_else(|| {
            Failure::new(Exit::NotFound, "context_unknown", "there is no current context")
                .hint("`wh context use NAME` sets one")
        })?;
    let context = store.get(&name)?;
    if shell.ui.json {
        return crate::ui::json(&public(&name, context, store));
    }
    let ca_file = context.ca_file.as_ref().map(|path| path.display().to_string());
    let rows = [
        ("context", name),
        ("control plane", context.url.to_string()),
        ("user", context.email.clone().unwrap_or_default()),
        ("organization", context.organization.clone().unwrap_or_default()),
        ("signed in", if context.token.is_some() { "yes" } else { "no" }.to_owned()),
        ("CA file", ca_file.unwrap_or_default()),
    ];
    crate::ui::data(&facts(&rows, shell.ui.out_paint()))
}
