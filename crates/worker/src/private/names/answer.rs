//! What is answered to a question. Pure: bytes to bytes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use protocol::spec::private::DOMAIN;

/// Seconds for which an address is remembered. It is the app's for as long as the app exists.
const TTL: u32 = 30;
/// The same for what is not there, which may come at any time.
const NEGATIVE_TTL: u32 = 5;

/// What to do about a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Reply(Vec<u8>),
    /// It is about the world outside.
    Forward,
    /// It is no question.
    Drop,
}

/// Looks at a packet of a container that may know `names`, which are without the domain.
pub(super) fn judge(packet: &[u8], names: &BTreeMap<String, Ipv4Addr>) -> Verdict {
    let Ok(request) = Message::from_vec(packet) else { return Verdict::Drop };
    if request.metadata.message_type != MessageType::Query {
        return Verdict::Drop;
    }
    if request.metadata.op_code != OpCode::Query {
        return reply(&request, ResponseCode::NotImp, None, false);
    }
    let [query] = request.queries.as_slice() else {
        return reply(&request, ResponseCode::FormErr, None, false);
    };
    let asked = query.name().to_lowercase().to_ascii();
    let asked = asked.trim_end_matches('.');
    let Some(label) = asked.strip_suffix(DOMAIN).filter(|rest| rest.is_empty() || rest.ends_with('.')) else {
        return Verdict::Forward;
    };
    let label = label.trim_end_matches('.');
    let wants_address = matches!(query.query_type(), RecordType::A | RecordType::ANY);
    match names.get(label) {
        Some(address) if wants_address => {
            let address = Record::from_rdata(query.name().clone(), TTL, RData::A(A(*address)));
            reply(&request, ResponseCode::NoError, Some(address), true)
        }
        Some(_) => reply(&request, ResponseCode::NoError, None, true),
        None if is_above(label, names) => reply(&request, ResponseCode::NoError, None, true),
        None => reply(&request, ResponseCode::NXDomain, None, true),
    }
}

/// There are names below `label`.
fn is_above(label: &str, names: &BTreeMap<String, Ipv4Addr>) -> bool {
    label.is_empty()
        || names.keys().any(|name| name.strip_suffix(label).is_some_and(|rest| rest.ends_with('.')))
}

/// That nobody outside could be asked.
pub(super) fn failed(packet: &[u8]) -> Option<Vec<u8>> {
    let request = Message::from_vec(packet).ok()?;
    match reply(&request, ResponseCode::ServFail, None, false) {
        Verdict::Reply(bytes) => Some(bytes),
        Verdict::Forward | Verdict::Drop => None,
    }
}

fn reply(request: &Message, code: ResponseCode, answer: Option<Record>, ours: bool) -> Verdict {
    let mut message = Message::response(request.metadata.id, request.metadata.op_code);
    message.metadata.response_code = code;
    message.metadata.authoritative = ours;
    message.metadata.recursion_desired = request.metadata.recursion_desired;
    message.metadata.recursion_available = true;
    let queries: Vec<Query> = request.queries.iter().take(1).cloned().collect();
    message.add_queries(queries);
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        message.set_edns(edns);
    }
    match answer {
        Some(answer) => drop(message.add_answer(answer)),
        // It says for how long nothing is there.
        None if ours => drop(message.add_authority(authority())),
        None => {}
    }
    message.to_vec().map_or(Verdict::Drop, Verdict::Reply)
}

fn authority() -> Record {
    let name = |text: &str| Name::from_ascii(text).unwrap_or_else(|_| Name::root());
    let minimum = NEGATIVE_TTL;
    let soa = SOA::new(name("internal."), name("nobody.invalid."), 1, 3600, 600, 86400, minimum);
    Record::from_rdata(name("internal."), minimum, RData::SOA(soa))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> BTreeMap<String, Ipv4Addr> {
        [("api.shop", 1), ("web.shop", 2), ("db.office", 3)]
            .map(|(name, last)| (name.to_owned(), Ipv4Addr::new(100, 96, 0, last)))
            .into()
    }

    fn question(name: &str, kind: RecordType) -> Vec<u8> {
        let mut message = Message::query();
        message.metadata.id = 7;
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
        message.to_vec().expect("bytes")
    }

    /// Code, addresses, and whether the authority says for how long.
    fn told(name: &str, kind: RecordType) -> (ResponseCode, Vec<Ipv4Addr>, bool) {
        let Verdict::Reply(bytes) = judge(&question(name, kind), &names()) else {
            panic!("no reply to {name}")
        };
        let message = Message::from_vec(&bytes).expect("an answer");
        let metadata = message.metadata;
        assert_eq!((metadata.id, metadata.message_type), (7, MessageType::Response));
        assert!(metadata.recursion_desired && metadata.recursion_available && metadata.authoritative);
        let address = |record: &Record| match &record.data {
            RData::A(A(address)) => Some(*address),
            _ => None,
        };
        let addresses = message.answers.iter().filter_map(address).collect();
        (metadata.response_code, addresses, !message.authorities.is_empty())
    }

    #[test]
    fn a_name_has_its_address_however_it_is_written() {
        let found = (ResponseCode::NoError, vec![Ipv4Addr::new(100, 96, 0, 1)], false);
        for name in ["api.shop.internal.", "API.Shop.INTERNAL", "api.shop.internal"] {
            assert_eq!(told(name, RecordType::A), found, "{name}");
        }
    }

    #[test]
    fn a_name_has_no_other_records_but_exists() {
        for kind in [RecordType::AAAA, RecordType::TXT, RecordType::MX] {
            assert_eq!(told("api.shop.internal.", kind), (ResponseCode::NoError, Vec::new(), true));
        }
        for name in ["shop.internal.", "internal."] {
            assert_eq!(told(name, RecordType::A), (ResponseCode::NoError, Vec::new(), true), "{name}");
        }
    }

    #[test]
    fn what_the_project_may_not_know_does_not_exist() {
        for name in ["api.office.internal.", "x.api.shop.internal.", "op.internal.", "hop.internal."] {
            assert_eq!(told(name, RecordType::A), (ResponseCode::NXDomain, Vec::new(), true), "{name}");
        }
    }

    #[test]
    fn all_else_is_asked_outside_and_rubbish_is_dropped() {
        for name in ["example.com.", "notinternal.", "internal.example.com.", "."] {
            assert_eq!(judge(&question(name, RecordType::A), &names()), Verdict::Forward, "{name}");
        }
        let mut answer = question("api.shop.internal.", RecordType::A);
        answer[2] |= 0x80;
        for packet in [&b""[..], b"\0", &[0xff; 40], answer.as_slice()] {
            assert_eq!(judge(packet, &names()), Verdict::Drop, "{packet:?}");
        }
    }

    #[test]
    fn who_cannot_be_asked_is_a_failure_of_the_same_question() {
        let bytes = failed(&question("example.com.", RecordType::A)).expect("an answer");
        let message = Message::from_vec(&bytes).expect("an answer");
        assert_eq!((message.metadata.id, message.metadata.response_code), (7, ResponseCode::ServFail));
        assert_eq!(message.queries.len(), 1);
    }
}
