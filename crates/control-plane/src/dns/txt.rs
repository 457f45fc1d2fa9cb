//! TXT records, asked for at several resolvers at once: one that knows is enough, and one that is broken or slow must
//! not decide.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hickory_resolver::Resolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::{Instant, timeout_at};

/// For one question to all resolvers.
const PATIENCE: Duration = Duration::from_secs(8);
/// For one attempt at one resolver; there are two.
const ATTEMPT: Duration = Duration::from_millis(3500);

/// What one resolver said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The name's TXT records.
    Values(Vec<String>),
    /// The name is there and has no TXT record.
    NoRecord,
    /// There is no such name.
    NoName,
    /// It could not tell, for instance because the zone's own servers do not answer it.
    Failure(String),
    /// Nothing in time.
    Silence,
}

/// What all that answered in time said. Ends early when one says what is `wanted`.
pub async fn ask(
    resolvers: &[SocketAddr],
    name: &str,
    wanted: impl Fn(&Said) -> bool,
) -> Vec<(SocketAddr, Said)> {
    let end = Instant::now() + PATIENCE;
    let one = |address: SocketAddr| async move { (address, ask_one(address, name).await) };
    let mut asked: FuturesUnordered<_> = resolvers.iter().copied().map(one).collect();
    let mut said = Vec::new();
    while let Ok(Some((address, answer))) = timeout_at(end, asked.next()).await {
        let enough = wanted(&answer);
        said.push((address, answer));
        if enough {
            return said;
        }
    }
    for resolver in resolvers {
        if !said.iter().any(|(address, _)| address == resolver) {
            said.push((*resolver, Said::Silence));
        }
    }
    said
}

async fn ask_one(address: SocketAddr, name: &str) -> Said {
    // With the dot no search list is tried.
    let name = match Name::from_ascii(format!("{name}.")) {
        Ok(name) => name,
        Err(error) => return Said::Failure(error.to_string()),
    };
    let resolver = match resolver(address) {
        Ok(resolver) => resolver,
        Err(error) => return Said::Failure(error.to_string()),
    };
    match resolver.lookup(name, RecordType::TXT).await {
        Ok(found) => {
            let texts = found.answers().iter().filter_map(|record| match &record.data {
                RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
                _ => None,
            });
            values(texts.collect())
        }
        Err(error) => of_error(&error),
    }
}

fn values(texts: Vec<String>) -> Said {
    if texts.is_empty() { Said::NoRecord } else { Said::Values(texts) }
}

pub(super) fn of_error(error: &NetError) -> Said {
    match error {
        NetError::Timeout => Said::Silence,
        NetError::Dns(DnsError::NoRecordsFound(none)) if none.response_code == ResponseCode::NXDomain => {
            Said::NoName
        }
        NetError::Dns(DnsError::NoRecordsFound(none)) if none.response_code == ResponseCode::NoError => {
            Said::NoRecord
        }
        NetError::Dns(DnsError::NoRecordsFound(none)) => failure(none.response_code),
        NetError::Dns(DnsError::ResponseCode(code)) => failure(*code),
        other => Said::Failure(other.to_string()),
    }
}

fn failure(code: ResponseCode) -> Said {
    Said::Failure(match code {
        ResponseCode::ServFail => "SERVFAIL: the servers of the zone do not answer it properly".to_owned(),
        ResponseCode::Refused => "REFUSED: it does not answer this control plane".to_owned(),
        other => other.to_string(),
    })
}

/// One that asks this address alone and remembers nothing: people who have just changed a record look at once.
pub(super) fn resolver(address: SocketAddr) -> Result<Resolver<TokioRuntimeProvider>, NetError> {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(at_port).to_vec();
    let server = NameServerConfig::new(address.ip(), true, connections);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let mut options = ResolverOpts::default();
    options.timeout = ATTEMPT;
    options.attempts = 2;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    Resolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::testing::FakeResolver;

    const NAME: &str = "_wisehosting.www.example.com";

    async fn said(resolver: &FakeResolver) -> Said {
        let mut said = ask(&[resolver.address], NAME, |_| false).await;
        said.pop().expect("one").1
    }

    #[tokio::test]
    async fn every_answer_of_the_dns_is_told_from_the_others() {
        let resolver = FakeResolver::start().await;
        assert_eq!(said(&resolver).await, Said::NoName);
        resolver.txt(NAME, &[]);
        assert_eq!(said(&resolver).await, Said::NoRecord);
        let long = "x".repeat(300);
        resolver.txt(NAME, &["one", &long]);
        let Said::Values(values) = said(&resolver).await else { panic!("no values") };
        assert_eq!(values, ["one", &long], "also what comes in parts");
        for (code, word) in [(ResponseCode::ServFail, "SERVFAIL"), (ResponseCode::Refused, "REFUSED")] {
            resolver.fail(NAME, code);
            let said = said(&resolver).await;
            assert!(matches!(&said, Said::Failure(why) if why.contains(word)), "{said:?}");
        }
    }

    #[tokio::test]
    async fn one_that_knows_is_not_kept_waiting_by_one_that_is_silent() {
        let (knows, silent) =
            (FakeResolver::start().await, tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("bind"));
        knows.txt(NAME, &["proof"]);
        let addresses = [silent.local_addr().expect("address"), knows.address];
        let begun = Instant::now();
        let heard = ask(&addresses, NAME, |said| matches!(said, Said::Values(_))).await;
        assert_eq!(heard, [(knows.address, Said::Values(vec!["proof".to_owned()]))]);
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());

        let heard = ask(&addresses, "_wisehosting.other.example.com", |_| false).await;
        assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
        assert!(heard.contains(&(knows.address, Said::NoName)), "{heard:?}");
        assert!(heard.contains(&(addresses[0], Said::Silence)), "{heard:?}");
    }
}
