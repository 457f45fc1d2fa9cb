//! Where an alias (CNAME) leads, as resolvers of the world outside see it.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::txt::resolver;

/// For all questions.
const PATIENCE: Duration = Duration::from_secs(5);
/// Aliases of aliases that are followed, as resolvers do.
const HOPS: usize = 8;

/// The name that `name` is an alias of in the end; `None` when it is none, or nobody knows. Answers as soon as one of the
/// resolvers knows one.
pub async fn follow(resolvers: &[SocketAddr], name: &str) -> Option<String> {
    let mut asked: FuturesUnordered<_> = resolvers.iter().map(|address| follow_at(*address, name)).collect();
    let first = async {
        while let Some(answer) = asked.next().await {
            if answer.is_some() {
                return answer;
            }
        }
        None
    };
    tokio::time::timeout(PATIENCE, first).await.ok().flatten()
}

async fn follow_at(address: SocketAddr, name: &str) -> Option<String> {
    let resolver = resolver(address).ok()?;
    // With the dot no search list is tried.
    let mut at = Name::from_ascii(format!("{name}.")).ok()?;
    let mut end = None;
    for _ in 0..HOPS {
        let Ok(found) = resolver.lookup(at, RecordType::CNAME).await else { return end };
        let next = found.answers().iter().find_map(|record| match &record.data {
            RData::CNAME(alias) => Some(alias.0.clone()),
            _ => None,
        });
        let Some(next) = next else { return end };
        end = Some(next.to_ascii().trim_end_matches('.').to_ascii_lowercase());
        at = next;
    }
    // A circle, or as good as one.
    None
}
