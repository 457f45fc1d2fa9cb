use std::fmt::Write as _;

use super::samples::{answers, questions, said_by_agents, said_by_the_control_plane};
use super::*;
use crate::envelope::{Receiver, Sender};
use crate::identity::ApiKey;
use crate::spec::WorkerSpec;

fn sent(message: &FromAgent) -> Envelope {
    let key = ApiKey::generate().signing_key();
    let text = Sender::new(key.clone()).seal(message.kind(), &MessageId::random(), message.payload(), 0);
    Receiver::new(key).open(&text, 0).expect("opens")
}

#[test]
fn a_message_survives_the_envelope() {
    let envelope = sent(&FromAgent::Applied(Applied { generation: 7 }));
    let FromAgent::Applied(applied) = FromAgent::parse(&envelope).expect("known") else {
        panic!("another type")
    };
    assert_eq!(applied.generation, 7);
}

#[test]
fn an_unknown_type_is_an_error_that_names_it() {
    let mut envelope = sent(&FromAgent::Applied(Applied { generation: 7 }));
    envelope.kind = "weather".to_owned();
    assert_eq!(
        FromAgent::parse(&envelope).unwrap_err().to_string(),
        "message of type `weather` is not understood by this version"
    );
}

#[test]
fn only_results_and_logs_are_kept_for_a_resend() {
    let cancel = JobDone { job_id: JobId::new(), outcome: Outcome::Cancelled };
    assert_eq!(FromAgent::JobDone(cancel).delivery(), Delivery::Reliable);
    assert_eq!(FromAgent::Applied(Applied { generation: 1 }).delivery(), Delivery::Latest);
}

#[test]
fn an_older_worker_spec_removes_nothing() {
    let spec: WorkerSpec = serde_json::from_str(r#"{ "instances": [] }"#).expect("readable");
    assert_eq!(spec, WorkerSpec::default());
}

/// The format on the wire. A change here breaks agents of the version before: add fields with a default instead.
#[test]
fn every_message_has_the_golden_form() {
    let mut text = String::new();
    let mut add = |kind: &str, payload: &RawValue| {
        let payload: serde_json::Value = serde_json::from_str(payload.get()).expect("JSON");
        let pretty = serde_json::to_string_pretty(&payload).expect("JSON");
        writeln!(text, "{kind} {pretty}").expect("a string grows");
    };
    for message in said_by_agents().into_iter().chain(answers()) {
        add(message.kind(), &message.payload());
    }
    for message in said_by_the_control_plane().into_iter().chain(questions()) {
        add(message.kind(), &message.payload());
    }
    insta::assert_snapshot!(text);
}

#[test]
fn every_message_is_read_as_it_was_written() {
    for message in said_by_agents().into_iter().chain(answers()) {
        let envelope = sent(&message);
        let read = FromAgent::parse(&envelope).expect("known");
        assert_eq!(read.payload().get(), message.payload().get());
    }
}
