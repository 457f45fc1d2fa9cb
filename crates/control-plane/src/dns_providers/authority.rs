//! Whether the name servers of a zone answer a record: each of them, because nobody knows which one the CA asks.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, bail};
use futures_util::future::join_all;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::{Open, Record, wire};

/// A name server and the addresses at which it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub name: String,
    pub addresses: Vec<SocketAddr>,
}

/// The servers that must answer `name`: those of the provider's settings, else those of the zone that it is in.
pub async fn servers(provider: &Open, name: &str) -> anyhow::Result<Vec<Server>> {
    let check = provider.check_servers();
    if !check.is_empty() {
        let server = |address: &SocketAddr| Server { name: address.to_string(), addresses: vec![*address] };
        return Ok(check.iter().map(server).collect());
    }
    let resolver = TokioResolver::builder_tokio()
        .and_then(hickory_resolver::ResolverBuilder::build)
        .context("the host's resolver (/etc/resolv.conf) cannot be used")?;
    let mut zone = Name::from_ascii(name)?;
    zone.set_fqdn(true);
    // Up from the record to the zone that holds it.
    while zone.num_labels() > 1 {
        zone = zone.base_name();
        let found = match resolver.lookup(zone.clone(), RecordType::NS).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("the name servers of {zone} cannot be looked up"));
            }
        };
        let names = found.answers().iter().filter_map(|record| match &record.data {
            RData::NS(server) => Some(server.0.clone()),
            _ => None,
        });
        let servers: Vec<Name> = names.collect();
        if !servers.is_empty() {
            return addresses(&resolver, servers).await;
        }
    }
    bail!("no name server of {name} can be found")
}

async fn addresses(resolver: &TokioResolver, names: Vec<Name>) -> anyhow::Result<Vec<Server>> {
    let mut servers = Vec::new();
    for name in names {
        let found = resolver.lookup_ip(name.clone()).await;
        let found = found.with_context(|| format!("name server {name} has no address"))?;
        let addresses = found.iter().map(|address: IpAddr| SocketAddr::new(address, 53)).collect();
        servers.push(Server { name: name.to_ascii().trim_end_matches('.').to_owned(), addresses });
    }
    Ok(servers)
}

/// Those of `servers` that do not answer the record, and what they do instead.
pub async fn lacking(servers: &[Server], record: &Record) -> anyhow::Result<Vec<String>> {
    let mut name = Name::from_ascii(&record.name)?;
    name.set_fqdn(true);
    let answers = join_all(servers.iter().map(|server| has(server, &name, &record.value))).await;
    let lacking = servers.iter().zip(answers).filter_map(|(server, answer)| match answer {
        Ok(true) => None,
        Ok(false) => Some(format!("{} does not have the record yet", server.name)),
        Err(error) => Some(format!("{}: {error:#}", server.name)),
    });
    Ok(lacking.collect())
}

/// Whether the server has it, at whichever of its addresses answers first.
async fn has(server: &Server, name: &Name, value: &str) -> anyhow::Result<bool> {
    let mut last = anyhow::anyhow!("has no address");
    for address in &server.addresses {
        match wire::texts(*address, name).await {
            Ok(texts) => return Ok(texts.iter().any(|text| text == value)),
            Err(error) => last = error,
        }
    }
    Err(last)
}
