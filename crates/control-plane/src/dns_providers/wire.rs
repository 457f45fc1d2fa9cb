//! One question to one name server, over TCP: no answer is cut short, and no other host can forge one.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(5);

/// Sends `message` to `server` and returns its answer.
pub async fn exchange(server: SocketAddr, message: &[u8]) -> anyhow::Result<Vec<u8>> {
    let talk = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_u16(u16::try_from(message.len()).map_err(std::io::Error::other)?).await?;
        stream.write_all(message).await?;
        let mut answer = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(PATIENCE, talk).await;
    let answer = answer.map_err(|_| anyhow::anyhow!("no answer within {} s", PATIENCE.as_secs()));
    answer.and_then(|answer| Ok(answer?)).with_context(|| format!("name server {server} over TCP"))
}

/// Asks `server` itself for records; it looks nothing up elsewhere.
pub async fn ask(server: SocketAddr, name: &Name, kind: RecordType) -> anyhow::Result<Message> {
    let mut message = Message::query();
    message.metadata.recursion_desired = false;
    message.add_query(Query::query(name.clone(), kind));
    let answer = Message::from_vec(&exchange(server, &message.to_vec()?).await?)?;
    ensure!(answer.id == message.id, "name server {server} answered another question");
    Ok(answer)
}

/// The texts that `server` has under `name`.
pub async fn texts(server: SocketAddr, name: &Name) -> anyhow::Result<Vec<String>> {
    let answer = ask(server, name, RecordType::TXT).await?;
    let code = answer.response_code;
    ensure!(
        matches!(code, ResponseCode::NoError | ResponseCode::NXDomain),
        "name server {server} answers {code}"
    );
    let text = |data: &RData| match data {
        RData::TXT(text) => Some(
            text.txt_data.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect::<String>(),
        ),
        _ => None,
    };
    Ok(answer.answers.iter().filter_map(|record| text(&record.data)).collect())
}
