//! The DNS suffixes that apps are served under.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::Shell;
use crate::api::path;
use crate::api::types::{App, Zone};
use crate::args::{ZoneAnswer, ZoneCommand};
use crate::failure::Result;
use crate::ui::sanitize;
use crate::ui::table::{Cell, Table};

pub(crate) async fn run(shell: &Shell, command: Option<ZoneCommand>) -> Result<()> {
    match command.unwrap_or(ZoneCommand::Ls) {
        ZoneCommand::Ls => ls(shell).await,
        ZoneCommand::Add { suffix, answer } => {
            let mut body = body(answer);
            body.insert("suffix".to_owned(), Value::from(suffix));
            let zone: Zone = shell.client()?.send(Method::POST, "/zones", &Value::from(body)).await?;
            shown(shell, "added", &zone)
        }
        ZoneCommand::Set { suffix, proxy, answer } => {
            let mut body = body(answer);
            if proxy {
                body.insert("mode".to_owned(), Value::from("proxy"));
            }
            let route = path(&["zones", &suffix]);
            let zone: Zone = shell.client()?.send(Method::PATCH, &route, &Value::from(body)).await?;
            shown(shell, "changed", &zone)
        }
        ZoneCommand::Rm { suffix } => {
            shell.client()?.delete(&path(&["zones", &suffix])).await?;
            if shell.ui.json {
                return crate::ui::json(&json!({ "suffix": suffix, "removed": true }));
            }
            shell.ui.done(&format!("the zone {suffix} is removed"));
            Ok(())
        }
        ZoneCommand::Move { suffix } => move_app(shell, &suffix).await,
    }
}

fn body(answer: ZoneAnswer) -> Map<String, Value> {
    let mut body = Map::new();
    body.extend(answer.worker.map(|worker| ("worker".to_owned(), Value::from(worker))));
    body.extend(answer.port.map(|port| ("port".to_owned(), Value::from(port))));
    body.extend(answer.resolver.map(|name| ("resolver".to_owned(), Value::from(name))));
    if answer.default {
        body.insert("default".to_owned(), Value::from(true));
    }
    body
}

async fn ls(shell: &Shell) -> Result<()> {
    let zones: Vec<Zone> = shell.client()?.list("/zones").await?;
    if shell.ui.json {
        return crate::ui::json(&zones);
    }
    let mut table = Table::new(&["ZONE", "ANSWERED BY", "APPS", "NEW APPS", "DNS"]);
    for zone in &zones {
        let records: Vec<String> =
            zone.records.iter().map(|record| format!("{} {}", record.kind, record.value)).collect();
        table.row(vec![
            Cell::name(&zone.suffix),
            Cell::plain(answered_by(zone)),
            Cell::plain(zone.apps.to_string()),
            Cell::plain(if zone.is_default { "yes" } else { "" }),
            Cell::dim(records.join(", ")),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))?;
    for zone in &zones {
        warn(shell, zone);
    }
    Ok(())
}

fn warn(shell: &Shell, zone: &Zone) {
    if let Some(warning) = &zone.warning {
        shell.ui.warn(&format!("{}: {}", zone.suffix, sanitize(warning)));
    }
}

fn answered_by(zone: &Zone) -> String {
    match (&zone.worker, zone.port) {
        (Some(worker), Some(port)) => format!("{worker}:{port}"),
        (Some(worker), None) => worker.clone(),
        (None, _) if zone.mode == "direct" => "no worker any more".to_owned(),
        (None, _) => match &zone.resolver {
            Some(resolver) => format!("proxies, certificates by Traefik's `{resolver}`"),
            None => "proxies".to_owned(),
        },
    }
}

fn shown(shell: &Shell, deed: &str, zone: &Zone) -> Result<()> {
    if shell.ui.json {
        return crate::ui::json(zone);
    }
    shell.ui.done(&format!("{deed} the zone {}, answered by {}", zone.suffix, answered_by(zone)));
    warn(shell, zone);
    if zone.records.is_empty() {
        shell.ui.note(&format!("  point *.{} at the hosts that answer for it", zone.suffix));
        return Ok(());
    }
    shell.ui.note("  its DNS needs");
    for record in &zone.records {
        crate::ui::data(&sanitize(&format!("{} {} {}", record.name, record.kind, record.value)))?;
    }
    Ok(())
}

async fn move_app(shell: &Shell, suffix: &str) -> Result<()> {
    let app = shell.app()?;
    let route = path(&["apps", &app, "zone"]);
    let moved: App = shell.client()?.send(Method::POST, &route, &json!({ "zone": suffix })).await?;
    if shell.ui.json {
        return crate::ui::json(&moved);
    }
    shell.ui.done(&format!("{app} is served at {} from now on", moved.url));
    Ok(())
}
