//! The port of the zones: open while there is something to answer for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use ingress::bind::Inherited;
use ingress::{Drain, Gateway, Scheme};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How soon a port that another process has is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Listens whenever `wanted` says so, until `stop`; connections may then finish.
pub(super) async fn run(
    gateway: Arc<Gateway>,
    address: SocketAddr,
    mut wanted: watch::Receiver<bool>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut ending = JoinSet::new();
    while becomes(true, &mut wanted, &stop).await {
        let closing = stop.child_token();
        let Some(listener) = open(address, &closing).await else { break };
        info!(%address, "listening for the direct zones");
        let drain = Drain::new(closing.clone());
        let serving = ingress::serve(Arc::clone(&gateway), listener, Scheme::Http, drain.clone());
        let unwanted = async {
            becomes(false, &mut wanted, &closing).await;
            closing.cancel();
        };
        let (served, ()) = tokio::join!(serving, unwanted);
        served?;
        ending.spawn(async move { drain.finish(super::GRACE).await });
    }
    while let Some(ended) = ending.join_next().await {
        let cut = ended.context("a drain panicked")?;
        if cut > 0 {
            warn!(connections = cut, "cut connections that did not finish in time");
        }
    }
    Ok(())
}

/// Waits for `value`; `false` when the stop came before, or nobody is left to say it.
async fn becomes(value: bool, wanted: &mut watch::Receiver<bool>, stop: &CancellationToken) -> bool {
    matches!(stop.run_until_cancelled(wanted.wait_for(|now| *now == value)).await, Some(Ok(_)))
}

async fn open(address: SocketAddr, closing: &CancellationToken) -> Option<TcpListener> {
    let mut told = false;
    loop {
        match Inherited::default().listen("ingress", address) {
            Ok(listener) => return Some(listener),
            Err(error) if !told => {
                warn!(%error, "the direct zones of this worker are not answered yet");
                told = true;
            }
            Err(_) => {}
        }
        closing.run_until_cancelled(tokio::time::sleep(RETRY)).await?;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn answers(address: SocketAddr) -> bool {
        let Ok(mut stream) = TcpStream::connect(address).await else { return false };
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: none.test\r\nconnection: close\r\n\r\n")
            .await
            .expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        answer.starts_with("HTTP/1.1 404")
    }

    async fn until(address: SocketAddr, expected: bool) {
        let wait = async {
            while answers(address).await != expected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect("in time");
    }

    #[tokio::test]
    async fn the_port_is_open_only_while_there_is_something_to_answer_for() {
        let free = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = free.local_addr().expect("address");
        drop(free);
        let (wanted, watched) = watch::channel(false);
        let stop = CancellationToken::new();
        let gateway = Gateway::new(ingress::Options::default());
        let checked = async {
            until(address, false).await;
            wanted.send_replace(true);
            until(address, true).await;
            wanted.send_replace(false);
            until(address, false).await;
            wanted.send_replace(true);
            until(address, true).await;
            stop.cancel();
        };
        let (ran, ()) = tokio::join!(run(gateway, address, watched, stop.clone()), checked);
        ran.expect("a soft end");
        assert!(!answers(address).await);
    }
}
