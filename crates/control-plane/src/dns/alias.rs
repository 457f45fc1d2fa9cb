//! Where an alias (CNAME) leads, as resolvers of the world outside see it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::{Instant, timeout_at};

use super::txt::{Said, of_error, resolver};

/// For all questions.
const PATIENCE: Duration = Duration::from_secs(5);
/// Aliases of aliases that are followed, as resolvers do.
const HOPS: usize = 8;

/// The name that `name` is an alias of in the end; `None` when it is none. Answers as soon as one of the resolvers knows
/// one. That none of them could tell is an error.
pub async fn follow(resolvers: &[SocketAddr], name: &str) -> anyhow::Result<Option<String>> {
    let end = Instant::now() + PATIENCE;
    let one = |address: SocketAddr| async move { (address, follow_at(address, name).await) };
    let mut asked: FuturesUnordered<_> = resolvers.iter().copied().map(one).collect();
    let (mut is_none, mut problems) = (false, Vec::new());
    while let Ok(Some((address, answer))) = timeout_at(end, asked.next()).await {
        match answer {
            Ok(Some(target)) => return Ok(Some(target)),
            Ok(None) => is_none = true,
            Err(why) => problems.push(format!("{address}: {why}")),
        }
    }
    if is_none {
        return Ok(None);
    }
    if problems.is_empty() {
        bail!("none of the resolvers answered in time");
    }
    bail!("{}", problems.join("; "))
}

/// What one resolver says, or why it could not.
async fn follow_at(address: SocketAddr, name: &str) -> Result<Option<String>, String> {
    let resolver = resolver(address).map_err(|error| error.to_string())?;
    // With the dot no search list is tried.
    let mut at = Name::from_ascii(format!("{name}.")).map_err(|error| error.to_string())?;
    let mut end = None;
    for _ in 0..HOPS {
        let found = match resolver.lookup(at, RecordType::CNAME).await {
            Ok(found) => found,
            Err(error) => {
                return match of_error(&error) {
                    Said::NoName | Said::NoRecord => Ok(end),
                    Said::Failure(why) => Err(why),
                    Said::Silence | Said::Values(_) => Err("no answer in time".to_owned()),
                };
            }
        };
        let next = found.answers().iter().find_map(|record| match &record.data {
            RData::CNAME(alias) => Some(alias.0.clone()),
            _ => None,
        });
        let Some(next) = next else { return Ok(end) };
        end = Some(next.to_ascii().trim_end_matches('.').to_ascii_lowercase());
        at = next;
    }
    // A circle, or as good as one.
    Ok(None)
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::ResponseCode;

    use super::*;
    use crate::dns::testing::FakeResolver;

    const NAME: &str = "_acme-challenge.shop.example.org";
    const END: &str = "shop.acme.example.com";

    #[tokio::test]
    async fn only_an_end_that_a_resolver_knows_of_is_one() {
        let (broken, knows) = (FakeResolver::start().await, FakeResolver::start().await);
        for fake in [&broken, &knows] {
            fake.alias(NAME, "hop.example.org");
            fake.alias("hop.example.org", END);
        }
        assert_eq!(follow(&[broken.address], NAME).await.expect("known").as_deref(), Some(END));
        for code in [ResponseCode::ServFail, ResponseCode::Refused] {
            for name in [NAME, "hop.example.org"] {
                broken.alias(NAME, "hop.example.org");
                broken.fail(name, code);
                follow(&[broken.address], NAME).await.expect_err("half a chain is no answer");
                let told = follow(&[broken.address, knows.address], NAME).await.expect("the other one knows");
                assert_eq!(told.as_deref(), Some(END));
            }
        }
    }

    #[tokio::test]
    async fn a_name_without_an_alias_is_told_from_one_that_nobody_could_ask_for() {
        let (broken, empty) = (FakeResolver::start().await, FakeResolver::start().await);
        broken.fail(NAME, ResponseCode::ServFail);
        assert_eq!(follow(&[broken.address, empty.address], NAME).await.expect("no such name"), None);
        empty.txt(NAME, &[]);
        assert_eq!(follow(&[empty.address], NAME).await.expect("no such record"), None);
        let error = follow(&[broken.address], NAME).await.expect_err("nobody knows").to_string();
        assert!(error.contains("SERVFAIL") && error.contains(&broken.address.to_string()), "{error}");
    }
}
