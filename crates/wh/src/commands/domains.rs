//! Host names of one's own.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use super::Shell;
use crate::api::Client;
use crate::api::types::Domain;
use crate::args::{DomainCommand, DomainPathCommand};
use crate::failure::{Exit, Failure, Result};
use crate::ui::sanitize;
use crate::ui::table::{Cell, Table, facts};
use crate::ui::time::{age_of, between, duration};

/// Between two looks while a domain is waited for.
const PAUSE: Duration = Duration::from_secs(3);

pub(crate) async fn run(shell: &Shell, command: Option<DomainCommand>) -> Result<()> {
    match command.unwrap_or(DomainCommand::Ls) {
        DomainCommand::Ls => ls(shell).await,
        DomainCommand::Add { hostname, wait } => add(shell, &hostname, wait).await,
        DomainCommand::Show { hostname, zone_file } => show(shell, &hostname, zone_file).await,
        DomainCommand::Verify { hostname } => verify(shell, &hostname).await,
        DomainCommand::Move { hostname, to } => give(shell, &hostname, &to).await,
        DomainCommand::Rm { hostname } => rm(shell, &hostname).await,
        DomainCommand::Path(DomainPathCommand::Add { hostname, path, to, strip }) => {
            add_path(shell, &hostname, &path, &to, strip).await
        }
        DomainCommand::Path(DomainPathCommand::Rm { hostname, path }) => {
            rm_path(shell, &hostname, &path).await
        }
    }
}

async fn ls(shell: &Shell) -> Result<()> {
    let domains: Vec<Domain> = shell.client()?.list(&shell.app_path(&["domains"])?).await?;
    if shell.ui.json {
        return crate::ui::json(&domains);
    }
    if domains.is_empty() {
        shell.ui.note("no domains: `wh domain add www.example.com` adds one");
        return Ok(());
    }
    let mut table = Table::new(&["DOMAIN", "STATE", "CERTIFICATE", "CHECKED", "PATHS"]);
    for domain in &domains {
        let paths: Vec<String> =
            domain.paths.iter().map(|path| format!("{}→{}", path.path, path.app)).collect();
        table.row(vec![
            Cell::name(&domain.hostname),
            Cell::status(&domain.state),
            Cell::status(&domain.certificate.state),
            Cell::plain(age_of(domain.checked_at)),
            Cell::dim(paths.join(" ")),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))?;
    for domain in &domains {
        if let Some(error) = &domain.error {
            shell.ui.note(&format!("{}: {}", domain.hostname, sanitize(error)));
        }
    }
    Ok(())
}

async fn add(shell: &Shell, hostname: &str, wait: bool) -> Result<()> {
    let client = shell.client()?;
    let body = json!({ "hostname": hostname });
    let added: Domain = client.send(Method::POST, &shell.app_path(&["domains"])?, &body).await?;
    if !shell.ui.json {
        shell.ui.done(&format!("added {} to {}", added.hostname, added.app));
        shell.ui.note("write these records into its DNS:");
        records(shell, &added)?;
    }
    if wait {
        return until_served(shell, &client, added).await;
    }
    if shell.ui.json {
        return crate::ui::json(&added);
    }
    shell.ui.note(&format!(
        "  {} the control plane looks for them by itself; `wh domain verify {}` does at once",
        shell.ui.err_paint().dim("next"),
        added.hostname
    ));
    Ok(())
}

fn records(shell: &Shell, domain: &Domain) -> Result<()> {
    let mut table = Table::new(&["NAME", "TYPE", "VALUE"]);
    for record in std::iter::once(&domain.records.proof).chain(&domain.records.address) {
        table.row(vec![Cell::name(&record.name), Cell::plain(&record.kind), Cell::plain(&record.value)]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))?;
    if let Some(note) = &domain.records.note {
        shell.ui.note(&sanitize(note));
    }
    Ok(())
}

/// The control plane looks for the record; here it is only asked how far it is, but for a certificate that failed.
async fn until_served(shell: &Shell, client: &Client, mut domain: Domain) -> Result<()> {
    let begun = Instant::now();
    let path = shell.app_path(&["domains", &domain.hostname])?;
    let mut told = String::new();
    loop {
        let now = if domain.state == "verified" {
            match domain.certificate.state.as_str() {
                "issued" | "elsewhere" => break,
                _ => certificate_words(&domain),
            }
        } else {
            domain.error.clone().unwrap_or_else(|| format!("waiting for the record of {}", domain.hostname))
        };
        if now != told {
            shell.ui.note(&sanitize(&now));
            told = now;
        }
        tokio::time::sleep(PAUSE).await;
        domain = client.get(&path).await?;
    }
    if shell.ui.json {
        return crate::ui::json(&domain);
    }
    let took = duration(begun.elapsed());
    let certificate = match domain.certificate.state.as_str() {
        "issued" => "has its certificate",
        _ => "its certificate is a matter of the proxies' own resolver",
    };
    shell.ui.done(&format!("{} is verified and {certificate} ({took})", domain.hostname));
    crate::ui::data(&format!("https://{}", domain.hostname))
}

fn certificate_words(domain: &Domain) -> String {
    match &domain.certificate.error {
        Some(error) => format!("verified; its certificate could not be had yet: {error}"),
        None => "verified; its certificate is ordered".to_owned(),
    }
}

async fn show(shell: &Shell, hostname: &str, zone_file: bool) -> Result<()> {
    let domain: Domain = shell.client()?.get(&shell.app_path(&["domains", hostname])?).await?;
    if shell.ui.json {
        return crate::ui::json(&domain);
    }
    if zone_file {
        return crate::ui::data(&domain.records.zone_file);
    }
    let paint = shell.ui.out_paint();
    let mut rows = vec![
        ("domain", paint.bold(&domain.hostname)),
        ("app", domain.app.clone()),
        ("state", paint.status(&domain.state)),
    ];
    rows.extend(domain.unicode.as_ref().map(|name| ("written", sanitize(name))));
    rows.extend(domain.error.as_ref().map(|error| ("problem", sanitize(error))));
    let end = domain.lapses_at.map(|at| ("lapses", at)).or(domain.expires_at.map(|at| ("expires", at)));
    rows.extend(end.map(|(word, at)| (word, at.format("%Y-%m-%d %H:%M").to_string())));
    rows.push(("checked", checked(&domain)));
    rows.push((
        "certificate",
        format!("{}{}", paint.status(&domain.certificate.state), domain.certificate.until()),
    ));
    rows.extend(domain.certificate.error.as_ref().map(|error| ("", sanitize(error))));
    for path in &domain.paths {
        let rest = if path.strip_prefix { ", without the prefix" } else { "" };
        rows.push(("path", format!("{} leads to {}{rest}", path.path, path.app)));
    }
    crate::ui::data(&facts(&rows, paint))?;
    crate::ui::data("")?;
    records(shell, &domain)
}

fn checked(domain: &Domain) -> String {
    let next = |at: DateTime<Utc>| format!("again in {}", duration(between(Utc::now(), at)));
    match (domain.checked_at, domain.next_check_at) {
        (Some(_), Some(at)) => format!("{}, {}", age_of(domain.checked_at), next(at)),
        _ => "not yet".to_owned(),
    }
}

async fn verify(shell: &Shell, hostname: &str) -> Result<()> {
    let path = shell.app_path(&["domains", hostname, "verify"])?;
    let domain: Domain = shell.client()?.send(Method::POST, &path, &json!({})).await?;
    if domain.state != "verified" {
        let problem = domain.error.as_deref().unwrap_or("its record is not there yet");
        let message = format!("{} is {}: {}", domain.hostname, domain.state, sanitize(problem));
        let record = &domain.records.proof;
        return Err(Failure::new(Exit::Error, "domain_not_verified", message)
            .hint(format!("write a TXT record {} with the value {}", record.name, record.value)));
    }
    if shell.ui.json {
        return crate::ui::json(&domain);
    }
    match &domain.error {
        Some(error) => shell.ui.warn(&sanitize(error)),
        None => shell.ui.done(&format!("{} is verified and served", domain.hostname)),
    }
    Ok(())
}

async fn give(shell: &Shell, hostname: &str, to: &str) -> Result<()> {
    let path = shell.app_path(&["domains", hostname])?;
    let moved: Domain = shell.client()?.send(Method::PATCH, &path, &json!({ "app": to })).await?;
    if shell.ui.json {
        return crate::ui::json(&moved);
    }
    shell.ui.done(&format!("{} leads to {} from now on", moved.hostname, moved.app));
    Ok(())
}

async fn rm(shell: &Shell, hostname: &str) -> Result<()> {
    shell.client()?.delete(&shell.app_path(&["domains", hostname])?).await?;
    if shell.ui.json {
        return crate::ui::json(&json!({ "hostname": hostname, "removed": true }));
    }
    shell.ui.done(&format!("{hostname} is removed; its DNS records can go as well"));
    Ok(())
}

async fn add_path(shell: &Shell, hostname: &str, path: &str, to: &str, strip: bool) -> Result<()> {
    let body = json!({ "path": path, "app": to, "strip_prefix": strip });
    let place = shell.app_path(&["domains", hostname, "paths"])?;
    let domain: Domain = shell.client()?.send(Method::POST, &place, &body).await?;
    if shell.ui.json {
        return crate::ui::json(&domain);
    }
    shell.ui.done(&format!("{}{path} leads to {to} from now on", domain.hostname));
    Ok(())
}

async fn rm_path(shell: &Shell, hostname: &str, path: &str) -> Result<()> {
    let client = shell.client()?;
    let domain: Domain = client.get(&shell.app_path(&["domains", hostname])?).await?;
    let wanted = path.trim_end_matches('/');
    let Some(found) = domain.paths.iter().find(|found| found.path == wanted) else {
        let message = format!("{hostname} has no path {path}");
        return Err(Failure::new(Exit::NotFound, "not_found", message)
            .hint(format!("`wh domain show {hostname}` lists its paths")));
    };
    client.delete(&shell.app_path(&["domains", hostname, "paths", &found.id])?).await?;
    if shell.ui.json {
        return crate::ui::json(&json!({ "hostname": hostname, "path": found.path, "removed": true }));
    }
    shell.ui.done(&format!("{hostname}{} leads to {} again", found.path, domain.app));
    Ok(())
}
