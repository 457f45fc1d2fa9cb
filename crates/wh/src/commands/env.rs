//! Environment variables.

use std::collections::BTreeMap;

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};

use super::{Shell, watch};
use crate::api::types::{Predefined, VariableChange, Variables};
use crate::api::{Client, path_with};
use crate::args::{Effect, EnvCommand};
use crate::failure::{Failure, Result};
use crate::project::is_variable_name;
use crate::ui::prompt;
use crate::ui::table::{Cell, Table};
use crate::ui::time::age_of;

pub(crate) async fn run(shell: &Shell, command: Option<EnvCommand>) -> Result<()> {
    match command.unwrap_or(EnvCommand::Ls { reveal: false, predefined: false }) {
        EnvCommand::Ls { predefined: true, .. } => ls_predefined(shell).await,
        EnvCommand::Ls { reveal, .. } => ls(shell, reveal).await,
        EnvCommand::Set { pairs, build, no_build, effect } => {
            let values = read_pairs(&pairs)?;
            let set = values.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
            let flagged = values.keys().filter(|_| build || no_build);
            let build_time = flagged.map(|name| (name.as_str(), build)).collect();
            change(
                shell,
                VariableChange { set, build_time, unset: Vec::new(), deploy: !effect.stage },
                &effect,
            )
            .await
        }
        EnvCommand::Unset { names, effect } => {
            names.iter().try_for_each(|name| check_name(name))?;
            let unset = names.iter().map(String::as_str).collect();
            let change_of = VariableChange { unset, deploy: !effect.stage, ..VariableChange::default() };
            change(shell, change_of, &effect).await
        }
    }
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
    let mut table = Table::new(&["NAME", "VALUE", "FOR", "CHANGED"]);
    for variable in &env.variables {
        let value = match &variable.value {
            Some(value) => Cell::plain(value.replace('\n', "\\n")),
            None => Cell::dim("••••••"),
        };
        let purpose = Cell::plain(if variable.build_time { "app, build" } else { "app" });
        table.row(vec![Cell::name(&variable.name), value, purpose, Cell::plain(age_of(variable.updated_at))]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))?;
    if env.pending {
        shell.ui.note("changes wait for the next deployment: `wh plan` shows them, `wh apply` deploys them");
    }
    Ok(())
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

async fn change(shell: &Shell, change: VariableChange<'_>, effect: &Effect) -> Result<()> {
    let client: Client = shell.client()?;
    let names: Vec<String> = change.set.keys().chain(&change.unset).map(|name| (*name).to_owned()).collect();
    let verb = if change.unset.is_empty() { "set" } else { "unset" };
    let answer: Variables = client.send(Method::PATCH, &shell.app_path(&["env"])?, &change).await?;
    let paint = shell.ui.err_paint();
    let names = names.join(", ");
    if let Some(deployment) = answer.deployment {
        shell.ui.done(&format!("{verb} {names}; deployment {} makes it so", deployment.number));
        return watch::finish(shell, &client, deployment, effect.detach).await;
    }
    if shell.ui.json {
        return crate::ui::json(&answer);
    }
    let when = if answer.pending { " (pending: `wh plan` shows it, `wh apply` deploys it)" } else { "" };
    shell.ui.done(&format!("{verb} {names}{}", paint.dim(when)));
    Ok(())
}

fn read_pairs(pairs: &[String]) -> Result<BTreeMap<String, SecretString>> {
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
        let values = read_pairs(&["URL=a=b".to_owned(), "EMPTY=".to_owned()]).expect("valid");
        assert_eq!(values["URL"].expose_secret(), "a=b");
        assert_eq!(values["EMPTY"].expose_secret(), "");
    }

    #[test]
    fn wrong_pairs_are_refused_without_showing_them() {
        let refused = |pairs: &[&str]| {
            let pairs: Vec<String> = pairs.iter().map(|&pair| pair.to_owned()).collect();
            read_pairs(&pairs).expect_err("refused").message
        };
        assert!(!refused(&["hunter2"]).contains("hunter2"));
        assert!(refused(&["1A=x"]).contains("`1A`"));
        assert!(refused(&["A=1", "A=2"]).contains("twice"));
    }
}
