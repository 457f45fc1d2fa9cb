//! A resolver on loopback that says what a test wants.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::config::Resolver;

/// Names and what is said of them: records, or a code. Of others, that they are not there.
type Names = Arc<Mutex<HashMap<String, Result<Vec<RData>, ResponseCode>>>>;

pub(crate) struct FakeResolver {
    pub(crate) address: SocketAddr,
    names: Names,
    _server: JoinSet<()>,
}

impl FakeResolver {
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
        let (address, names) = (socket.local_addr().expect("address"), Names::default());
        let mut server = JoinSet::new();
        server.spawn(serve(socket, names.clone()));
        Self { address, names, _server: server }
    }

    pub(crate) fn resolver(&self) -> Resolver {
        Resolver(self.address)
    }

    pub(crate) fn txt(&self, name: &str, values: &[&str]) {
        // Longer values come in parts.
        let parts = |value: &str| {
            value.as_bytes().chunks(255).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
        };
        self.say(name, Ok(values.iter().map(|value| RData::TXT(TXT::new(parts(value)))).collect()));
    }

    pub(crate) fn alias(&self, name: &str, target: &str) {
        let target = Name::from_ascii(format!("{target}.")).expect("a name");
        self.say(name, Ok(vec![RData::CNAME(CNAME(target))]));
    }

    pub(crate) fn fail(&self, name: &str, code: ResponseCode) {
        self.say(name, Err(code));
    }

    pub(crate) fn forget(&self, name: &str) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn say(&self, name: &str, said: Result<Vec<RData>, ResponseCode>) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), said);
    }
}

async fn serve(socket: UdpSocket, names: Names) {
    let mut buffer = [0; 4096];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
        let query = Message::from_vec(&buffer[..length]).expect("a query");
        let reply = answer(&query, &names).to_vec().expect("a reply");
        socket.send_to(&reply, peer).await.expect("send");
    }
}

fn answer(query: &Message, names: &Names) -> Message {
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    let asked = query.queries.first().expect("a question").clone();
    let name = asked.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let said = names.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
    match said.unwrap_or(Err(ResponseCode::NXDomain)) {
        Ok(records) => {
            for record in records {
                reply.add_answer(Record::from_rdata(asked.name().clone(), 60, record));
            }
        }
        Err(code) => reply.metadata.response_code = code,
    }
    reply.queries.push(asked);
    reply
}
