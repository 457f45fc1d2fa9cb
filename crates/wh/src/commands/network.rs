//! The private network: what a project's apps reach by name, and where they may go besides.

use reqwest::Method;
use serde_json::json;

use super::Shell;
use crate::api::types::{App, EgressRule, Network};
use crate::api::{path, path_with};
use crate::args::{Egress, Granted, NetworkCommand};
use crate::failure::{Failure, Result};
use crate::ui::table::{Cell, Table};
use crate::ui::time;

pub(crate) async fn run(shell: &Shell, command: Option<NetworkCommand>) -> Result<()> {
    match command.unwrap_or(NetworkCommand::Show { project: None }) {
        NetworkCommand::Show { project } => show(shell, project).await,
        NetworkCommand::Grant(asked) => grant(shell, &asked).await,
        NetworkCommand::Revoke(asked) => revoke(shell, &asked).await,
        NetworkCommand::Egress(asked) => egress(shell, &asked).await,
    }
}

async fn show(shell: &Shell, project: Option<String>) -> Result<()> {
    let client = shell.client()?;
    let project = match project {
        Some(project) => project,
        None => client.get::<App>(&shell.app_path(&[])?).await?.project.slug,
    };
    let network: Network = client.get(&path(&["projects", &project, "network"])).await?;
    if shell.ui.json {
        return crate::ui::json(&network);
    }
    let mut table = Table::new(&["NAME", "PORTS", "INSTANCES", "ADDRESS"]);
    for app in &network.apps {
        let mut ports: Vec<String> = app.ports.iter().map(u16::to_string).collect();
        if !ports.is_empty() && !app.ports.contains(&80) {
            ports.push("80".to_owned());
        }
        table.row(vec![
            Cell::name(&app.name),
            Cell::plain(if ports.is_empty() { "–".to_owned() } else { ports.join(", ") }),
            Cell::plain(app.instances.to_string()),
            Cell::dim(&app.address),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))?;
    if !network.grants.is_empty() {
        let mut table = Table::new(&["FROM", "MAY REACH", "BY", "SINCE"]);
        for grant in &network.grants {
            let app = grant.to_app.as_ref().map(|app| format!("/{app}")).unwrap_or_default();
            table.row(vec![
                Cell::name(&grant.from),
                Cell::plain(format!("{}{app}", grant.to_project)),
                Cell::plain(&grant.created_by),
                Cell::plain(time::age_of(Some(grant.created_at))),
            ]);
        }
        crate::ui::data(&table.render(shell.ui.out_paint()))?;
    }
    shell.ui.note(&format!("outside of it: {}", outside(network.egress.as_deref())));
    Ok(())
}

fn outside(rules: Option<&[EgressRule]>) -> String {
    let rule = |rule: &EgressRule| {
        let ports: Vec<String> = rule.ports.iter().map(u16::to_string).collect();
        if ports.is_empty() { rule.to.clone() } else { format!("{} port {}", rule.to, ports.join(", ")) }
    };
    match rules {
        None => "anywhere public".to_owned(),
        Some([]) => "nowhere".to_owned(),
        Some(rules) => rules.iter().map(rule).collect::<Vec<_>>().join("; "),
    }
}

async fn grant(shell: &Shell, asked: &Granted) -> Result<()> {
    let (project, app) = split(&asked.to);
    let mut body = json!({ "project": project });
    if let Some(app) = app {
        body["app"] = json!(app);
    }
    let path = path(&["projects", &asked.from, "network", "grants"]);
    let network: Network = shell.client()?.send(Method::POST, &path, &body).await?;
    if shell.ui.json {
        return crate::ui::json(&network);
    }
    shell.ui.done(&format!("apps of {} may reach {}", asked.from, asked.to));
    Ok(())
}

async fn revoke(shell: &Shell, asked: &Granted) -> Result<()> {
    let (project, app) = split(&asked.to);
    let mut query = vec![("project", project)];
    query.extend(app.map(|app| ("app", app)));
    let path = path_with(&["projects", &asked.from, "network", "grants"], &query);
    shell.client()?.delete(&path).await?;
    if shell.ui.json {
        return crate::ui::json(&json!({ "from": asked.from, "to": asked.to, "revoked": true }));
    }
    shell.ui.done(&format!("apps of {} may not reach {} any more", asked.from, asked.to));
    Ok(())
}

/// `PROJECT` or `PROJECT/APP`.
fn split(to: &str) -> (&str, Option<&str>) {
    match to.split_once('/') {
        Some((project, app)) => (project, Some(app)),
        None => (to, None),
    }
}

async fn egress(shell: &Shell, asked: &Egress) -> Result<()> {
    let rules = match (asked.open, asked.none) {
        (true, _) => None,
        (_, true) => Some(Vec::new()),
        _ => Some(asked.allow.iter().map(|text| parse(text)).collect::<Result<Vec<_>>>()?),
    };
    let path = path(&["projects", &asked.project, "network", "egress"]);
    let network: Network = shell.client()?.send(Method::PUT, &path, &json!({ "egress": rules })).await?;
    if shell.ui.json {
        return crate::ui::json(&network);
    }
    shell.ui.done(&format!("{} reaches outside: {}", asked.project, outside(network.egress.as_deref())));
    Ok(())
}

/// `203.0.113.0/24:443,5432`, `[2001:db8::]/32`, one address. Whether it is a network is the control plane's to say.
fn parse(text: &str) -> Result<EgressRule> {
    let wrong = || {
        Failure::usage(format!("`{text}` is no network with ports"))
            .hint("write 203.0.113.0/24, 203.0.113.7:443,5432 or [2001:db8::]/32:443")
    };
    let (to, ports) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']').ok_or_else(wrong)?;
            let (length, ports) =
                rest.split_once(':').map_or((rest, None), |(length, ports)| (length, Some(ports)));
            (format!("{address}{length}"), ports)
        }
        None if text.matches(':').count() > 1 => (text.to_owned(), None),
        None => match text.split_once(':') {
            Some((network, ports)) => (network.to_owned(), Some(ports)),
            None => (text.to_owned(), None),
        },
    };
    let ports = ports.map(|ports| ports.split(',').map(str::parse).collect::<std::result::Result<_, _>>());
    let ports: Vec<u16> = ports.transpose().map_err(|_| wrong())?.unwrap_or_default();
    Ok(EgressRule { to, ports })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_written_with_and_without_ports() {
        for (text, to, ports) in [
            ("203.0.113.0/24", "203.0.113.0/24", vec![]),
            ("203.0.113.7:443,5432", "203.0.113.7", vec![443, 5432]),
            ("2001:db8::/32", "2001:db8::/32", vec![]),
            ("2001:db8::1", "2001:db8::1", vec![]),
            ("[2001:db8::]/32:443", "2001:db8::/32", vec![443]),
            ("[2001:db8::1]:443", "2001:db8::1", vec![443]),
        ] {
            let rule = parse(text).expect(text);
            assert_eq!((rule.to.as_str(), rule.ports), (to, ports), "{text}");
        }
        for wrong in ["203.0.113.7:", "203.0.113.7:http", "[2001:db8::1", "203.0.113.7:70000"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rules_are_told_in_words() {
        let rules = ["203.0.113.0/24:443", "198.51.100.1"].map(|text| parse(text).expect("rule"));
        assert_eq!(outside(Some(&rules)), "203.0.113.0/24 port 443; 198.51.100.1");
        assert_eq!((outside(None), outside(Some(&[]))), ("anywhere public".to_owned(), "nowhere".to_owned()));
    }
}
