//! What is done with the requests of an app or of one of its domains.

use std::collections::BTreeMap;

use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Shell;
use crate::api::{Client, path};
use crate::failure::{Failure, Result};
use crate::route::{
    self, AllowCommand, AuthCommand, ForwardAuthCommand, MaintenanceCommand, Options, RedirectCommand,
    RouteCommand,
};
use crate::ui::prompt;
use crate::ui::table::{Cell, Table};

/// Options as the API tells them.
#[derive(Debug, Serialize, Deserialize)]
struct Routes {
    own: Options,
    effective: Options,
    origins: BTreeMap<String, String>,
    hosts: Vec<String>,
}

pub(crate) async fn run(shell: &Shell, domain: Option<String>, command: Option<RouteCommand>) -> Result<()> {
    let app = shell.app()?;
    let at = match &domain {
        None => path(&["apps", &app, "routes"]),
        Some(domain) => path(&["apps", &app, "domains", domain, "routes"]),
    };
    let client = shell.client()?;
    let now: Routes = client.get(&at).await?;
    let patch = match command.unwrap_or(RouteCommand::Show) {
        RouteCommand::Show => return show(shell, &now),
        RouteCommand::Set { pairs } => route::set(&now.effective, &pairs)?,
        RouteCommand::Unset { keys } => route::unset(&now.effective, &keys)?,
        RouteCommand::Maintenance(command) => maintenance(command),
        RouteCommand::Redirect(command) => redirect(&now.effective, command)?,
        RouteCommand::Auth(command) => auth(&now.effective, command)?,
        RouteCommand::ForwardAuth(command) => forward_auth(command),
        RouteCommand::Allow(command) => allow(&now.effective, command)?,
    };
    send(shell, &client, &at, &now, &patch).await
}

fn show(shell: &Shell, routes: &Routes) -> Result<()> {
    if shell.ui.json {
        return crate::ui::json(routes);
    }
    let lines = route::flat(&routes.effective);
    if lines.is_empty() {
        shell.ui.note("nothing is set: every option is off or at its default");
        return Ok(());
    }
    let mut table = Table::new(&["OPTION", "VALUE", "SET FOR"]);
    for (word, value) in &lines {
        let option =
            if word.starts_with("redirect ") { "redirects" } else { word.split('.').next().unwrap_or(word) };
        let origin = routes.origins.get(option).map_or("", String::as_str);
        table.row(vec![Cell::name(word), Cell::plain(value), Cell::plain(origin)]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

async fn send(shell: &Shell, client: &Client, at: &str, before: &Routes, patch: &Value) -> Result<()> {
    let after: Routes = client.send(Method::PATCH, at, patch).await?;
    if shell.ui.json {
        return crate::ui::json(&after);
    }
    let lines = |routes: &Routes| route::flat(&routes.effective).into_iter().collect::<BTreeMap<_, _>>();
    let (old, new) = (lines(before), lines(&after));
    let mut changed = false;
    for word in old.keys().chain(new.keys().filter(|word| !old.contains_key(*word))) {
        let (was, is) = (old.get(word), new.get(word));
        if was != is {
            changed = true;
            let or_none = |side: Option<&String>| side.map_or("–", String::as_str).to_owned();
            shell.ui.done(&format!("{word} {} → {}", or_none(was), or_none(is)));
        }
    }
    // A password is not told, so it cannot be seen to differ.
    if changed || before.own != after.own || patch["set"].get("basic_auth").is_some() {
        shell.ui.note("holds on every proxy within a second");
    } else {
        shell.ui.note("nothing changes: it is set so already");
    }
    Ok(())
}

fn set(option: &str, value: Value) -> Value {
    json!({ "set": { option: value } })
}

fn set_or_unset(option: &str, value: Value, empty: bool) -> Value {
    if empty { json!({ "unset": [option] }) } else { set(option, value) }
}

fn maintenance(command: MaintenanceCommand) -> Value {
    match command {
        MaintenanceCommand::Off => json!({ "unset": ["maintenance"] }),
        MaintenanceCommand::On { message, retry_after, allow } => {
            let mut page = Map::new();
            if let Some(message) = message {
                page.insert("message".to_owned(), json!(message));
            }
            if let Some(seconds) = retry_after {
                page.insert("retry_after_s".to_owned(), json!(seconds));
            }
            if !allow.is_empty() {
                page.insert("allow".to_owned(), json!(allow));
            }
            set("maintenance", Value::Object(page))
        }
    }
}

fn forward_auth(command: ForwardAuthCommand) -> Value {
    match command {
        ForwardAuthCommand::Off => json!({ "unset": ["forward_auth"] }),
        ForwardAuthCommand::On { url, response_header, request_header, skip, timeout } => {
            let mut auth = Map::from_iter([("url".to_owned(), json!(url))]);
            for (name, list) in
                [("response_headers", response_header), ("request_headers", request_header), ("skip", skip)]
            {
                if !list.is_empty() {
                    auth.insert(name.to_owned(), json!(list));
                }
            }
            if let Some(seconds) = timeout {
                auth.insert("timeout_s".to_owned(), json!(seconds));
            }
            set("forward_auth", Value::Object(auth))
        }
    }
}

fn redirect(now: &Options, command: RedirectCommand) -> Result<Value> {
    let mut all: Vec<Value> = list(now, "redirects");
    match command {
        RedirectCommand::Add { from, to, status } => {
            let new = json!({ "from": from, "to": to, "status": status });
            match all.iter_mut().find(|one| one["from"] == from.as_str()) {
                Some(one) => *one = new,
                None => all.push(new),
            }
        }
        RedirectCommand::Remove { from } => {
            let before = all.len();
            all.retain(|one| one["from"] != from.as_str());
            if all.len() == before {
                return Err(Failure::usage(format!("{from} is not redirected"))
                    .hint("`wh route show` lists the redirects"));
            }
        }
    }
    let empty = all.is_empty();
    Ok(set_or_unset("redirects", Value::Array(all), empty))
}

/// Users whose passwords stay are sent with null.
fn auth(now: &Options, command: AuthCommand) -> Result<Value> {
    let mut auth = now.get("basic_auth").and_then(Value::as_object).cloned().unwrap_or_default();
    let users = auth.entry("users").or_insert_with(|| json!({}));
    match command {
        AuthCommand::Add { user, password_stdin } => {
            users[&user] = json!({ "password": password(&user, password_stdin)?.expose_secret() });
        }
        AuthCommand::Remove { user } => {
            let removed = users.as_object_mut().and_then(|users| users.remove(&user));
            if removed.is_none() {
                return Err(Failure::usage(format!("there is no user {user}"))
                    .hint("`wh route show` lists the users"));
            }
        }
    }
    let empty = users.as_object().is_none_or(Map::is_empty);
    Ok(set_or_unset("basic_auth", Value::Object(auth), empty))
}

fn password(user: &str, from_stdin: bool) -> Result<secrecy::SecretString> {
    if from_stdin {
        return prompt::stdin_value();
    }
    if !prompt::possible() {
        return Err(Failure::usage("there is no terminal to ask for the password on")
            .hint(format!("pipe it into `wh route auth add {user} --password-stdin`")));
    }
    prompt::hidden(&format!("Password of {user}: "))
}

fn allow(now: &Options, command: AllowCommand) -> Result<Value> {
    let mut all: Vec<Value> = list(now, "allow");
    match command {
        AllowCommand::Add { networks } => {
            for network in networks {
                if !all.contains(&json!(network)) {
                    all.push(json!(network));
                }
            }
        }
        AllowCommand::Remove { networks } => {
            for network in networks {
                // A network of one address is written with its prefix.
                let is = |one: &Value| {
                    let text = one.as_str().unwrap_or_default();
                    text == network
                        || text.strip_prefix(&network).is_some_and(|rest| rest == "/32" || rest == "/128")
                };
                if !all.iter().any(is) {
                    return Err(Failure::usage(format!("{network} is not on the list"))
                        .hint("`wh route show` has it as it is written there"));
                }
                all.retain(|one| !is(one));
            }
        }
    }
    let empty = all.is_empty();
    Ok(set_or_unset("allow", Value::Array(all), empty))
}

fn list(now: &Options, option: &str) -> Vec<Value> {
    now.get(option).and_then(Value::as_array).cloned().unwrap_or_default()
}
