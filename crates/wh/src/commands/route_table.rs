//! What proxies serve, and the tokens by which a Traefik that is not ours reads it.

use reqwest::Method;
use serde_json::json;

use super::{Shell, short};
use crate::api::types::{NewRouteToken, RouteTable, RouteToken, RouteView};
use crate::api::{path, path_with};
use crate::args::RouteTokenCommand;
use crate::failure::{Failure, Result};
use crate::ui::sanitize;
use crate::ui::table::{Cell, Table};
use crate::ui::time::age_of;

pub(crate) async fn table(shell: &Shell, worker: Option<&str>, search: Option<&str>) -> Result<()> {
    let mut query = Vec::new();
    query.extend(worker.map(|worker| ("worker", worker)));
    query.extend(search.map(|search| ("search", search)));
    let found: RouteTable = shell.client()?.get(&path_with(&["routes"], &query)).await?;
    if shell.ui.json {
        return crate::ui::json(&found);
    }
    let changed = age_of(found.changed_at);
    shell.ui.note(&format!("generation {}, {changed}; {} routes", found.generation, found.total));
    let mut who = Table::new(&["SERVED BY", "KIND", "STATUS", "GENERATION", "SINCE"]);
    for consumer in &found.consumers {
        let state = match consumer.applied_generation {
            applied if applied == found.generation => applied.to_string(),
            applied => format!("{applied}, not yet {}", found.generation),
        };
        who.row(vec![
            Cell::name(&consumer.node),
            Cell::plain(&consumer.kind),
            Cell::status(if consumer.connected { "online" } else { "offline" }),
            Cell::plain(state),
            Cell::dim(age_of(consumer.applied_at)),
        ]);
    }
    let mut table = Table::new(&["HOST", "APP", "UPSTREAMS", "OPTIONS"]);
    for route in &found.routes {
        table.row(row(route));
    }
    let paint = shell.ui.out_paint();
    crate::ui::data(&format!("{}\n{}", who.render(paint), table.render(paint)))?;
    if search.is_none() && found.routes.len() < found.total {
        shell.ui.note(&format!(
            "the first {} of {}: `wh routes WORD` finds others",
            found.routes.len(),
            found.total
        ));
    }
    Ok(())
}

fn row(route: &RouteView) -> Vec<Cell> {
    let path = if route.path == "/" { "" } else { &route.path };
    let hosts: Vec<String> = route.hosts.iter().map(|host| format!("{host}{path}")).collect();
    let upstreams = match &route.unavailable {
        Some(why) if route.upstreams.is_empty() => format!("none: {why}"),
        _ => route.upstreams.join(" "),
    };
    let redirect = route.https_only.then(|| "https".to_owned());
    let options: Vec<String> = redirect.into_iter().chain(route.options.iter().cloned()).collect();
    vec![
        Cell::name(hosts.join(" ")),
        Cell::plain(&route.app),
        Cell::plain(upstreams),
        Cell::dim(options.join(" ")),
    ]
}

pub(crate) async fn token(shell: &Shell, command: RouteTokenCommand) -> Result<()> {
    let client = shell.client()?;
    match command {
        RouteTokenCommand::Create { name, worker, expires } => {
            let days = match expires {
                None => None,
                Some(time) if time.as_secs() < 86_400 => {
                    return Err(Failure::usage("--expires must be a day or more, such as 90d"));
                }
                Some(time) => Some(time.as_secs() / 86_400),
            };
            let body = json!({ "name": name, "worker": worker, "expires_in_days": days });
            shown(shell, &client.send(Method::POST, "/route-tokens", &body).await?)
        }
        RouteTokenCommand::Rotate { id, overlap } => {
            let id = full_id(&client.list("/route-tokens").await?, id);
            let hours = overlap.as_secs().div_ceil(3600);
            let route = path(&["route-tokens", &id, "rotate"]);
            let made: NewRouteToken =
                client.send(Method::POST, &route, &json!({ "overlap_hours": hours })).await?;
            shown(shell, &made)?;
            shell.ui.note(&format!("token {} works for {hours} more hours", short(&id)));
            Ok(())
        }
        RouteTokenCommand::Ls => list(shell, &client.list("/route-tokens").await?),
        RouteTokenCommand::Revoke { id } => {
            let id = full_id(&client.list("/route-tokens").await?, id);
            client.delete(&path(&["route-tokens", &id])).await?;
            if shell.ui.json {
                return crate::ui::json(&json!({ "id": id, "revoked": true }));
            }
            shell.ui.done(&format!("revoked route token {}", short(&id)));
            Ok(())
        }
    }
}

fn shown(shell: &Shell, token: &NewRouteToken) -> Result<()> {
    if shell.ui.json {
        return crate::ui::json(token);
    }
    shell.ui.done(&format!("made route token {} for {}, shown only now", short(&token.id), token.name));
    shell.ui.note(&format!("  Traefik's `providers.http.endpoint` is {}", token.endpoint));
    crate::ui::data(&sanitize(&token.token))
}

fn list(shell: &Shell, tokens: &[RouteToken]) -> Result<()> {
    if shell.ui.json {
        return crate::ui::json(&tokens);
    }
    if tokens.is_empty() {
        shell.ui.note("no route tokens: `wh route-token create NAME` makes one for a Traefik of yours");
        return Ok(());
    }
    let mut table = Table::new(&["TOKEN", "NAME", "READS", "LAST USED", "ENDS", "BY"]);
    for token in tokens {
        let reads = token.worker.as_ref().map_or("proxies".to_owned(), |worker| format!("zones of {worker}"));
        let used = if token.last_used_at.is_some() { age_of(token.last_used_at) } else { "never".to_owned() };
        let ends =
            token.expires_at.map_or("never".to_owned(), |end| end.format("%Y-%m-%d %H:%M UTC").to_string());
        table.row(vec![
            Cell::dim(short(&token.id)),
            Cell::name(&token.name),
            Cell::plain(reads),
            Cell::plain(used),
            Cell::plain(ends),
            Cell::dim(&token.created_by),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

/// The whole id for the end that the list shows; anything else is the server's to judge.
fn full_id(tokens: &[RouteToken], typed: String) -> String {
    let mut matching = tokens.iter().filter(|token| token.id.ends_with(&typed));
    match (matching.next(), matching.next()) {
        (Some(token), None) => token.id.clone(),
        _ => typed,
    }
}
