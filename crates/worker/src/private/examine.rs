//! What people ask of the private network on this host, while they wait: whether a name leads where it should.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use protocol::message::FromAgent;
use protocol::question::{Answer, AnswerKind, Ask, PrivateName, Question};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Network;
use crate::uplink::Uplink;

/// For an answer of the process that answers names, which is on this host.
const LIMIT: Duration = Duration::from_secs(1);

/// Answers such questions, beside everything else.
#[derive(Debug)]
pub(crate) struct Examiner<U> {
    pub(crate) network: Network,
    pub(crate) uplink: U,
}

impl<U: Uplink> Examiner<U> {
    /// One after the other, until `stop`.
    pub(crate) async fn run(
        self,
        mut asked: mpsc::Receiver<Ask>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        while let Some(Some(ask)) = stop.run_until_cancelled(asked.recv()).await {
            let answer = match &ask.question {
                Question::Private { project, name } => {
                    AnswerKind::Private(self.network.examine(project, name).await)
                }
                _ => AnswerKind::Failed { message: "this is not about the private network".to_owned() },
            };
            self.uplink.say(FromAgent::Answer(Answer { id: ask.id, answer })).await;
        }
        // Those who ask end with the process.
        stop.cancelled().await;
        Ok(())
    }
}

impl Network {
    /// What containers of the project find under `name` here.
    async fn examine(&self, project: &str, name: &str) -> PrivateName {
        let (firewall, gateway) = {
            let state = self.0.state.lock().await;
            let gateway = state.bridges.as_ref().and_then(|bridges| bridges.get(project));
            (state.guard.problem().await, gateway.map(|gateway| gateway.address))
        };
        let told = match gateway {
            Some(gateway) => ask(gateway, 53, name).await,
            None => Err(anyhow::anyhow!("the project has no bridge here")),
        };
        let (resolver, address) = match told {
            Ok(address) => (None, address),
            Err(error) => (Some(format!("{error:#}")), None),
        };
        PrivateName { firewall, resolver, address }
    }
}

/// Asks as a container does, whose resolver is at the gateway of its bridge; `None` when there is no such name.
async fn ask(gateway: Ipv4Addr, port: u16, name: &str) -> anyhow::Result<Option<Ipv4Addr>> {
    let mut question = Message::query();
    let name = Name::from_ascii(name).context("this is no name")?;
    question.add_query(Query::query(name, RecordType::A));
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect((gateway, port)).await?;
    socket.send(&question.to_vec()?).await.with_context(|| format!("{gateway} port {port}"))?;
    let mut buffer = vec![0; 4096];
    let received = tokio::time::timeout(LIMIT, socket.recv(&mut buffer)).await;
    let length = received
        .map_err(|_| anyhow::anyhow!("{gateway} does not answer within {} s", LIMIT.as_secs()))?
        .with_context(|| format!("nobody answers at {gateway} port {port}"))?;
    let answer = Message::from_vec(&buffer[..length]).context("the answer cannot be read")?;
    ensure!(answer.metadata.id == question.metadata.id, "this answers something else");
    match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        code => bail!("{gateway} says {code}"),
    }
    let address = |record: &Record| match &record.data {
        RData::A(A(address)) => Some(*address),
        _ => None,
    };
    Ok(answer.answers.iter().find_map(address))
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::MessageType;

    use super::*;

    /// Answers one question with `code`, and with an address if there is one.
    async fn asked(code: ResponseCode, address: Option<Ipv4Addr>) -> anyhow::Result<Option<Ipv4Addr>> {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        let port = server.local_addr().expect("an address").port();
        let answer = async {
            let mut buffer = vec![0; 512];
            let (length, from) = server.recv_from(&mut buffer).await.expect("a question");
            let mut message = Message::from_vec(&buffer[..length]).expect("a question");
            message.metadata.message_type = MessageType::Response;
            message.metadata.response_code = code;
            let name = message.queries[0].name().clone();
            message.answers.extend(address.map(|to| Record::from_rdata(name, 30, RData::A(A(to)))));
            server.send_to(&message.to_vec().expect("bytes"), from).await.expect("sent");
        };
        tokio::join!(ask(Ipv4Addr::LOCALHOST, port, "api.shop.internal"), answer).0
    }

    #[tokio::test]
    async fn an_address_no_such_name_and_a_resolver_in_trouble_are_told_apart() {
        let address = Ipv4Addr::new(100, 96, 0, 7);
        assert_eq!(asked(ResponseCode::NoError, Some(address)).await.expect("told"), Some(address));
        assert_eq!(asked(ResponseCode::NXDomain, None).await.expect("told"), None);
        let error = asked(ResponseCode::ServFail, None).await.expect_err("trouble").to_string();
        assert!(error.contains("127.0.0.1"), "{error}");
    }

    #[tokio::test]
    async fn a_resolver_that_is_not_there_is_told_by_its_address() {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        let port = socket.local_addr().expect("an address").port();
        drop(socket);
        let error = ask(Ipv4Addr::LOCALHOST, port, "api.shop.internal").await.expect_err("nobody");
        assert!(format!("{error:#}").contains(&format!("127.0.0.1 port {port}")), "{error:#}");
    }
}
