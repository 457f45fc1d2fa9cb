//! Where DNS records of certificates can be set.

use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::Shell;
use crate::api::path;
use crate::api::types::{DnsProvider, DnsProviderTest};
use crate::args::{AddDnsProvider, DnsProviderCommand};
use crate::failure::{Exit, Failure, Result};
use crate::ui::prompt;
use crate::ui::table::{Cell, Table};
use crate::ui::time;

pub(crate) async fn run(shell: &Shell, command: Option<DnsProviderCommand>) -> Result<()> {
    match command.unwrap_or(DnsProviderCommand::Ls) {
        DnsProviderCommand::Ls => ls(shell).await,
        DnsProviderCommand::Add(add) => store(shell, add).await,
        DnsProviderCommand::Test { zone, platform } => test(shell, &zone, platform).await,
        DnsProviderCommand::Rm { zone, platform } => rm(shell, &zone, platform).await,
    }
}

async fn ls(shell: &Shell) -> Result<()> {
    let providers: Vec<DnsProvider> = shell.client()?.list("/dns-providers").await?;
    if shell.ui.json {
        return crate::ui::json(&providers);
    }
    if providers.is_empty() {
        shell.ui.note("no DNS providers: certificates come by HTTP or TLS, and there are no wildcards");
        return Ok(());
    }
    let mut table = Table::new(&["ZONE", "KIND", "FOR", "AT", "BY", "STORED"]);
    for provider in &providers {
        table.row(vec![
            Cell::name(&provider.zone),
            Cell::plain(&provider.kind),
            Cell::plain(if provider.platform { "platform" } else { "organization" }),
            Cell::plain(&provider.summary),
            Cell::plain(&provider.updated_by),
            Cell::plain(time::age_of(Some(provider.updated_at))),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))?;
    for provider in &providers {
        if let Some(problem) = &provider.problem {
            shell.ui.note(&format!("cannot remove a record of {}: {problem}", provider.zone));
        }
    }
    Ok(())
}

async fn store(shell: &Shell, add: AddDnsProvider) -> Result<()> {
    if !add.secret_stdin && !prompt::possible() {
        return Err(Failure::usage("there is no terminal to ask for the token or key on")
            .hint("pipe it into `wh dns-provider add … --secret-stdin`"));
    }
    let secret = match (add.secret_stdin, add.cloudflare) {
        (true, _) => prompt::stdin_value()?,
        (false, true) => prompt::hidden("API token: ")?,
        (false, false) => prompt::hidden("Key (base64): ")?,
    };
    let secret = secret.expose_secret();
    let settings = match &add.rfc2136 {
        Some(server) => json!({
            "kind": "rfc2136", "server": server, "key_name": add.key_name, "algorithm": add.algorithm,
            "secret": secret, "check_servers": add.check_servers,
        }),
        None => json!({ "kind": "cloudflare", "token": secret }),
    };
    let body = json!({ "zone": add.zone, "platform": add.platform, "settings": settings });
    let stored: DnsProvider = shell.client()?.send(Method::POST, "/dns-providers", &body).await?;
    if shell.ui.json {
        return crate::ui::json(&stored);
    }
    let option = if stored.platform { " --platform" } else { "" };
    shell.ui.done(&format!("DNS records below {} can be set from now on", stored.zone));
    shell.ui.note(&format!("try it: wh dns-provider test {}{option}", stored.zone));
    Ok(())
}

async fn test(shell: &Shell, zone: &str, platform: bool) -> Result<()> {
    let provider = find(shell, zone, platform).await?;
    let tested: DnsProviderTest = shell
        .client()?
        .send(Method::POST, &path(&["dns-providers", &provider.id, "test"]), &json!({}))
        .await?;
    if shell.ui.json {
        return crate::ui::json(&tested);
    }
    let DnsProviderTest { record, servers, took_ms } = &tested;
    shell.ui.done(&format!(
        "{record} was set, answered by {} after {:.1} s, and removed",
        servers.join(", "),
        std::time::Duration::from_millis(*took_ms).as_secs_f64()
    ));
    Ok(())
}

async fn rm(shell: &Shell, zone: &str, platform: bool) -> Result<()> {
    let provider = find(shell, zone, platform).await?;
    shell.client()?.delete(&path(&["dns-providers", &provider.id])).await?;
    if shell.ui.json {
        return crate::ui::json(&json!({ "zone": provider.zone, "removed": true }));
    }
    shell.ui.done(&format!("the DNS provider of {} is forgotten", provider.zone));
    Ok(())
}

async fn find(shell: &Shell, zone: &str, platform: bool) -> Result<DnsProvider> {
    let providers: Vec<DnsProvider> = shell.client()?.list("/dns-providers").await?;
    let fits = |provider: &DnsProvider| provider.zone == zone && (provider.platform || !platform);
    // Those of the organization come first.
    providers.into_iter().find(fits).ok_or_else(|| {
        let message = format!("there is no DNS provider for {zone}");
        Failure::new(Exit::NotFound, "dns_provider_unknown", message).hint("`wh dns-provider ls` lists them")
    })
}
