//! Environment variables.

use std::collections::BTreeMap;

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};

use super::{Shell, env_file, watch};
use crate::api::types::{Predefined, Variable, VariableChange, Variables};
use crate::api::{Client, path_with};
use crate::args::{Effect, EnvCommand, VariableFlags};
use crate::failure::{Failure, Result};
use crate::project::is_variable_name;
use crate::ui::prompt;
use crate::ui::table::{Cell, Table};
use crate::ui::time::age_of;

pub(crate) async fn run(shell: &Shell, command: Option<EnvCommand>) -> Result<()> {
    match command.unwrap_or(EnvCommand::Ls { reveal: false, predefined: false }) {
        EnvCommand::Ls { predefined: true, .. } => ls_predefined(shell).await,
        EnvCommand::Ls { reveal, .. } => ls(shell, reveal).await,
        EnvCommand::Set { pairs, flags, effect } => set(shell, &pairs, &flags, &effect).await,
        EnvCommand::Import { file, replace, effect } => {
            env_file::import(shell, &file, replace, &effect).await
        }
        EnvCommand::Export => env_file::export(shell).await,
        EnvCommand::Unset { names, effect } => {
            names.iter().try_for_each(|name| check_name(name))?;
            let unset = names.iter().map(String::as_str).collect();
            let change_of = VariableChange { unset, deploy: !effect.stage, ..VariableChange::default() };
            change(shell, &change_of, &names.join(", "), &effect).await
        }
    }
}

async fn set(shell: &Shell, pairs: &[String], flags: &VariableFlags, effect: &Effect) -> Result<()> {
    let (named, pairs): (Vec<&String>, Vec<&String>) =
        pairs.iter().partition(|pair| says_something(flags) && !pair.contains('='));
    named.iter().try_for_each(|name| check_name(name))?;
    let values = read_pairs(&pairs)?;
    let names = || values.keys().chain(named.iter().copied()).map(String::as_str);
    let flagged = |on: bool, off: bool| names().filter(|_| on || off).map(|name| (name, on)).collect();
    let change_of = VariableChange {
        set: values.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect(),
        unset: Vec::new(),
        build_time: flagged(flags.build, flags.no_build),
        required: flagged(flags.required, flags.no_required),
        locked: flagged(flags.locked, false),
        comments: flags.comment.iter().flat_map(|text| names().map(|name| (name, text.as_str()))).collect(),
        deploy: !effect.stage && !values.is_empty(),
    };
    let names = names().collect::<Vec<_>>().join(", ");
    change(shell, &change_of, &names, effect).await
}

fn says_something(flags: &VariableFlags) -> bool {
    let VariableFlags { build, no_build, required, no_required, locked, comment } = flags;
    *build || *no_build || *required || *no_required || *locked || comment.is_some()
}

async fn ls(shell: &Shell, reveal: bool) -> Result<()> {
    let app = shell.app()?;
    let query: &[_] = if reveal { &[("reveal", "true")] } else { &[] };
    let env: Variables = shell.client()?.get(&path_with(&["apps", &app, "env"], query)).await?;
    if shell.ui.json {
        return crate::ui::json(&env);
    }
    if env.variables.is_empty() {
        shell.ui.note("no variables: `wh env set NAME=value`, or NAME=- for one from standard input");
        return Ok(());
    }
    let commented =
        env.variables.iter().any(|variable| variable.comment.as_ref().is_some_and(|text| !text.is_empty()));
    let columns = ["NAME", "VALUE", "FOR", "CHANGED", "COMMENT"];
    let mut table = Table::new(if commented { &columns } else { &columns[..4] });
    for variable in &env.variables {
        let value = match &variable.value {
            Some(value) => Cell::plain(value.replace('\n', "\\n")),
            None if variable.locked => Cell::dim("locked"),
            None => Cell::dim("••••••"),
        };
        let mut row = vec![Cell::name(&variable.name), value, Cell::plain(purpose(variable))];
        row.push(Cell::plain(age_of(variable.updated_at)));
        if commented {
            row.push(Cell::dim(variable.comment.as_deref().unwrap_or_default().replace('\n', " ")));
        }
        table.row(row);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))?;
    if env.pending {
        shell.ui.note("changes wait for the next deployment: `wh plan` shows them, `wh apply` deploys them");
    }
    Ok(())
}

fn purpose(variable: &Variable) -> String {
    let words = [("app", true), ("build", variable.build_time), ("required", variable.required)];
    words.into_iter().filter_map(|(word, so)| so.then_some(word)).collect::<Vec<_>>().join(", ")
}

async fn ls_predefined(shell: &Shell) -> Result<()> {
    let app = shell.app()?;
    let env: Variables = shell.client()?.get(&path_with(&["apps", &app, "env"], &[])).await?;
    if shell.ui.json {
        return crate::ui::json(&env.predefined);
    }
    let mut table = Table::new(&["NAME", "VALUE", "WHAT"]);
    for Predefined { name, about, value } in env.predefined {
        let value = value.map_or(Cell::dim("–"), Cell::plain);
        table.row(vec![Cell::name(&name), value, Cell::plain(about)]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

async fn change(shell: &Shell, change: &VariableChange<'_>, names: &str, effect: &Effect) -> Result<()> {
    let client: Client = shell.client()?;
    let verb = if change.unset.is_empty() { "set" } else { "unset" };
    let answer: Variables = client.send(Method::PATCH, &shell.app_path(&["env"])?, change).await?;
    changed(shell, &client, answer, &format!("{verb} {names}"), effect).await
}

/// Says what was `done`, and watches the deployment that it began.
pub(super) async fn changed(
    shell: &Shell,
    client: &Client,
    answer: Variables,
    done: &str,
    effect: &Effect,
) -> Result<()> {
    if let Some(deployment) = answer.deployment {
        shell.ui.done(&format!("{done}; deployment {} makes it so", deployment.number));
        return watch::finish(shell, client, deployment, effect.detach).await;
    }
    if shell.ui.json {
        return crate::ui::json(&answer);
    }
    let when = if answer.pending { " (pending: `wh plan` shows it, `wh apply` deploys it)" } else { "" };
    shell.ui.done(&format!("{done}{}", shell.ui.err_paint().dim(when)));
    Ok(())
}

fn read_pairs(pairs: &[&String]) -> Result<BTreeMap<String, SecretString>> {
    let mut values = BTreeMap::new();
    let mut from_stdin: Option<&str> = None;
    for pair in pairs {
        // The pair itself is not repeated in an error: it may be a secret without its name.
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            Failure::usage(
                "each argument must be NAME=value, or NAME=- to read the value from standard input",
            )
        })?;
        check_name(name)?;
        let value = if value == "-" {
            if let Some(other) = from_stdin.replace(name) {
                return Err(Failure::usage(format!(
                    "only one of {other} and {name} can come from standard input"
                )));
            }
            if prompt::possible() { prompt::hidden(&format!("{name}: "))? } else { prompt::stdin_value()? }
        } else {
            SecretString::from(value)
        };
        if values.insert(name.to_owned(), value).is_some() {
            return Err(Failure::usage(format!("{name} is set twice")));
        }
    }
    Ok(values)
}

fn check_name(name: &str) -> Result<()> {
    if is_variable_name(name) {
        return Ok(());
    }
    Err(Failure::usage(format!("`{name}` is no name of a variable"))
        .hint("letters, digits and _, not a digit first"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_split_at_the_first_equals_sign() {
        let pairs = ["URL=a=b".to_owned(), "EMPTY=".to_owned()];
        let values = read_pairs(&pairs.iter().collect::<Vec<_>>()).expect("valid");
        assert_eq!(values["URL"].expose_secret(), "a=b");
        assert_eq!(values["EMPTY"].expose_secret(), "");
    }

    #[test]
    fn wrong_pairs_are_refused_without_showing_them() {
        let refused = |pairs: &[&str]| {
            let pairs: Vec<String> = pairs.iter().map(|&pair| pair.to_owned()).collect();
            read_pairs(&pairs.iter().collect::<Vec<_>>()).expect_err("refused").message
        };
        assert!(!refused(&["hunter2"]).contains("hunter2"));
        assert!(refused(&["1A=x"]).contains("`1A`"));
        assert!(refused(&["A=1", "A=2"]).contains("twice"));
    }
}
