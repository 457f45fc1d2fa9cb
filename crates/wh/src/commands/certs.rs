//! Certificates of host names.

use reqwest::Method;
use serde_json::json;

use super::{Shell, cert_imports};
use crate::api::path;
use crate::api::types::{Attempt, Certificate, CertificateDetail, Server};
use crate::args::CertCommand;
use crate::failure::{Failure, Result};
use crate::ui::paint::{Paint, sanitize};
use crate::ui::table::{Cell, Table, facts};
use crate::ui::{prompt, time};

pub(crate) async fn run(shell: &Shell, command: Option<CertCommand>) -> Result<()> {
    match command.unwrap_or(CertCommand::List) {
        CertCommand::List => list(shell).await,
        CertCommand::Show { host } => show(shell, &host).await,
        CertCommand::ExportChain { host } => export_chain(shell, &host).await,
        CertCommand::Reissue { host, again } => reissue(shell, &host, again).await,
        CertCommand::Import { chain, key } => cert_imports::import(shell, &chain, key.as_deref()).await,
        CertCommand::Remove { name, confirm } => cert_imports::remove(shell, &name, confirm).await,
    }
}

async fn list(shell: &Shell) -> Result<()> {
    let certificates: Vec<Certificate> = shell.client()?.list("/certificates").await?;
    if shell.ui.json {
        return crate::ui::json(&certificates);
    }
    if certificates.is_empty() {
        shell.ui.note("no host name is served yet: deploy an app, and its certificate is ordered");
        return Ok(());
    }
    let mut table = Table::new(&["HOST", "APP", "STATE", "DAYS", "ISSUER", "SOURCE", "NEXT"]);
    for certificate in &certificates {
        table.row(vec![
            Cell::name(&certificate.host),
            Cell::plain(certificate.app.as_deref().unwrap_or("(dashboard)")),
            Cell::status(&certificate.standing),
            Cell::plain(certificate.days_left.map(|days| days.to_string()).unwrap_or_default()),
            Cell::plain(issuer(certificate)),
            Cell::plain(&certificate.source),
            Cell::plain(next(certificate)),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

fn issuer(certificate: &Certificate) -> String {
    let issuer = certificate.issuer.clone().unwrap_or_default();
    if certificate.staging { format!("{issuer} (staging)") } else { issuer }
}

fn next(certificate: &Certificate) -> String {
    let Some(next) = &certificate.next else { return String::new() };
    match next.at {
        Some(at) => format!("{} {}", at.format("%Y-%m-%d %H:%M"), next.what),
        None => next.what.clone(),
    }
}

async fn show(shell: &Shell, host: &str) -> Result<()> {
    let detail: CertificateDetail = shell.client()?.get(&path(&["certificates", host])).await?;
    if shell.ui.json {
        return crate::ui::json(&detail);
    }
    crate::ui::data(&card(&detail, shell.ui.out_paint()))
}

fn card(detail: &CertificateDetail, paint: Paint) -> String {
    let CertificateDetail { certificate, attempts, proxies, .. } = detail;
    let date = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map(|at| at.format("%Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default()
    };
    let source = match certificate.challenge.as_deref() {
        Some(challenge) => format!("{} by {challenge}", certificate.source),
        None => certificate.source.clone(),
    };
    let mut text = facts(
        &[
            ("host", paint.bold(&sanitize(&certificate.host))),
            ("app", certificate.app.as_deref().map(sanitize).unwrap_or_default()),
            ("state", format!("{} {}", paint.status(&certificate.standing), sanitize(&certificate.summary))),
            ("issuer", sanitize(&issuer(certificate))),
            ("names", sanitize(&certificate.names.join(" "))),
            ("valid from", date(certificate.not_before)),
            ("until", date(certificate.not_after)),
            ("source", source),
            ("next", sanitize(&next(certificate))),
        ],
        paint,
    );
    if let Some(problem) = &certificate.problem {
        text = format!("{text}\n{}\n", paint.red(&sanitize(&problem.message)));
        if let Some(hint) = &problem.hint {
            text = format!("{text}{}\n", sanitize(hint));
        }
    }
    for table in [servers(proxies), tries(attempts)].into_iter().flatten() {
        text = format!("{text}\n{}", table.render(paint));
    }
    if let Some(newest) = attempts.first().filter(|newest| !newest.log.is_empty()) {
        text = format!("{text}\n{}\n", paint.dim("The newest order:"));
        for line in &newest.log {
            text = format!("{text}  {}\n", sanitize(line));
        }
    }
    text
}

fn servers(proxies: &[Server]) -> Option<Table> {
    let mut table = Table::new(&["PROXY", "SERVES", "TABLE"]);
    for proxy in proxies {
        let serves = match (proxy.connected, proxy.current) {
            (true, true) => "this",
            (true, false) => "an older table",
            (false, _) => "unknown: not connected",
        };
        let generation = proxy.generation.to_string();
        table.row(vec![Cell::name(&proxy.node), Cell::plain(serves), Cell::dim(generation)]);
    }
    (!proxies.is_empty()).then_some(table)
}

fn tries(attempts: &[Attempt]) -> Option<Table> {
    let mut table = Table::new(&["ORDERED", "KIND", "CHALLENGE", "OUTCOME", "TOOK", "PROXY", "PROBLEM"]);
    for attempt in attempts {
        let took = attempt.finished_at.map(|end| time::duration(time::between(attempt.at, end)));
        let problem = attempt.trouble.as_ref().map(|trouble| trouble.message.as_str());
        table.row(vec![
            Cell::plain(time::age_of(Some(attempt.at))),
            Cell::plain(&attempt.kind),
            Cell::plain(&attempt.challenge),
            Cell::status(&attempt.outcome),
            Cell::plain(took.unwrap_or_default()),
            Cell::plain(attempt.proxy.as_deref().unwrap_or_default()),
            Cell::plain(problem.unwrap_or_default()),
        ]);
    }
    (!attempts.is_empty()).then_some(table)
}

async fn export_chain(shell: &Shell, host: &str) -> Result<()> {
    let client = shell.client()?;
    let response =
        client.response(client.request(Method::GET, &path(&["certificates", host, "chain"]))).await?;
    let chain = response
        .text()
        .await
        .map_err(|error| Failure::io("cannot read the chain", &std::io::Error::other(error)))?;
    if shell.ui.json {
        return crate::ui::json(&json!({ "host": host, "chain_pem": chain }));
    }
    crate::ui::data(&chain)
}

/// Asks once more when there was an order a moment ago.
async fn reissue(shell: &Shell, host: &str, again: bool) -> Result<()> {
    let client = shell.client()?;
    let ask = async |again: bool| {
        let body = json!({ "again": again });
        client.send::<Certificate>(Method::POST, &path(&["certificates", host, "reissue"]), &body).await
    };
    let asked = match ask(again).await {
        Err(failure) if failure.code == "certificate_recent" && prompt::possible() => {
            let question = format!("{}. Order another one? [y/N] ", failure.message);
            if !prompt::line(&question)?.eq_ignore_ascii_case("y") {
                return Err(Failure::usage("nothing was ordered"));
            }
            ask(true).await?
        }
        Err(failure) if failure.code == "certificate_recent" => {
            let hint = format!("if you mean it: `wh cert reissue {host} --again`");
            return Err(failure.hint(hint));
        }
        asked => asked?,
    };
    if shell.ui.json {
        return crate::ui::json(&asked);
    }
    shell
        .ui
        .done(&format!("a new certificate for {host} is ordered; `wh cert show {host}` tells how it goes"));
    Ok(())
}
