//! The addresses of a name, as each resolver of the world outside sees them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::txt::{Said, of_error, resolver};

/// For all questions to one resolver.
const PATIENCE: Duration = Duration::from_secs(8);

/// What one resolver knows of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Names that it is an alias of, in order.
    pub aliases: Vec<String>,
    pub addresses: Vec<IpAddr>,
}

/// Why a resolver knows no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAddress {
    /// There is no such name.
    Missing,
    /// The name exists and has neither A nor AAAA records.
    Empty,
    /// The resolver could not tell.
    Failed(String),
}

/// Asks all `resolvers` at once, each for IPv4 and IPv6.
pub async fn ask(resolvers: &[SocketAddr], name: &str) -> Vec<(SocketAddr, Result<Addresses, NoAddress>)> {
    let one = async |address: &SocketAddr| {
        let answer = tokio::time::timeout(PATIENCE, ask_one(*address, name)).await;
        let silence = |_| Err(NoAddress::Failed(format!("no answer within {} s", PATIENCE.as_secs())));
        (*address, answer.unwrap_or_else(silence))
    };
    join_all(resolvers.iter().map(one)).await
}

async fn ask_one(address: SocketAddr, name: &str) -> Result<Addresses, NoAddress> {
    let failed = |error: String| NoAddress::Failed(error);
    // With the dot no search list is tried.
    let name = Name::from_ascii(format!("{name}.")).map_err(|error| failed(error.to_string()))?;
    let resolver = resolver(address).map_err(|error| failed(error.to_string()))?;
    let both =
        tokio::join!(resolver.lookup(name.clone(), RecordType::A), resolver.lookup(name, RecordType::AAAA));
    let mut found = Addresses::default();
    let mut refusals = Vec::new();
    for answer in [both.0, both.1] {
        match answer {
            Ok(lookup) => lookup.answers().iter().for_each(|record| found.add(&record.data)),
            Err(error) => refusals.push(of_error(&error)),
        }
    }
    if found.addresses.is_empty() { Err(refusal(&refusals)) } else { Ok(found) }
}

impl Addresses {
    fn add(&mut self, data: &RData) {
        match data {
            RData::A(address) => self.addresses.push(address.0.into()),
            RData::AAAA(address) => self.addresses.push(address.0.into()),
            RData::CNAME(alias) => {
                let alias = alias.0.to_ascii().trim_end_matches('.').to_owned();
                if !self.aliases.contains(&alias) {
                    self.aliases.push(alias);
                }
            }
            _ => {}
        }
    }
}

/// One kind of record may be there while the server fails on the other: the failure tells more.
fn refusal(refusals: &[Said]) -> NoAddress {
    let failure = refusals.iter().find_map(|said| match said {
        Said::Failure(words) => Some(words.clone()),
        Said::Silence => Some("no answer in time".to_owned()),
        _ => None,
    });
    match failure {
        Some(words) => NoAddress::Failed(words),
        None if refusals.contains(&Said::NoName) => NoAddress::Missing,
        None => NoAddress::Empty,
    }
}
