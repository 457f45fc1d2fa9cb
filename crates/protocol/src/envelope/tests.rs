use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::identity::ApiKey;

const NOW: i64 = 1_790_000_000_000;

fn key() -> SigningKey {
    ApiKey::new("whn_0011".to_owned()).signing_key()
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("valid JSON")
}

fn sealed(seq: u64, now_ms: i64) -> String {
    let mut sender = Sender { key: key(), seq: seq - 1 };
    sender.seal("heartbeat", &MessageId("00ff".to_owned()), raw(r#"{"a":1}"#), now_ms)
}

#[test]
fn the_wire_format_is_the_golden_one() {
    insta::assert_snapshot!(sealed(7, NOW));
}

#[test]
fn a_sealed_message_opens_to_what_was_sent() {
    let opened = Receiver::new(key()).open(&sealed(1, NOW), NOW).expect("opens");
    assert_eq!((opened.kind.as_str(), opened.seq, opened.payload.get()), ("heartbeat", 1, r#"{"a":1}"#));
}

#[test]
fn another_key_is_refused() {
    let mut receiver = Receiver::new(ApiKey::new("whn_other".to_owned()).signing_key());
    assert_eq!(receiver.open(&sealed(1, NOW), NOW).unwrap_err(), Refusal::WrongHmac);
}

#[test]
fn every_signed_field_is_protected() {
    for (from, to) in [
        (r#""t":"heartbeat""#, r#""t":"job.done""#),
        (r#""i":"00ff""#, r#""i":"00fe""#),
        (r#""s":1"#, r#""s":2"#),
        (r#""ts":1790000000000"#, r#""ts":1790000000001"#),
        (r#"{"a":1}"#, r#"{"a":2}"#),
        (r#"{"a":1}"#, r#"{ "a":1}"#),
    ] {
        let text = sealed(1, NOW).replacen(from, to, 1);
        assert_ne!(text, sealed(1, NOW), "{from} is in the text");
        assert_eq!(Receiver::new(key()).open(&text, NOW).unwrap_err(), Refusal::WrongHmac, "{from}");
    }
}

#[test]
fn five_minutes_of_skew_pass_and_a_millisecond_more_does_not() {
    for sign in [-1, 1] {
        let limit = NOW + sign * MAX_SKEW_MS;
        Receiver::new(key()).open(&sealed(1, limit), NOW).expect("at the limit");
        let refusal = Receiver::new(key()).open(&sealed(1, limit + sign), NOW).unwrap_err();
        assert_eq!(refusal, Refusal::Skew { skew_ms: sign * (MAX_SKEW_MS + 1) });
    }
}

#[test]
fn a_duplicate_is_refused_and_late_arrivals_inside_the_window_are_not() {
    let mut receiver = Receiver::new(key());
    receiver.open(&sealed(300, NOW), NOW).expect("newest");
    receiver.open(&sealed(45, NOW), NOW).expect("oldest in the window");
    assert_eq!(receiver.open(&sealed(45, NOW), NOW).unwrap_err(), Refusal::Replayed { seq: 45 });
    assert_eq!(receiver.open(&sealed(44, NOW), NOW).unwrap_err(), Refusal::TooOld { seq: 44, newest: 300 });
}

#[test]
fn a_forged_sequence_number_does_not_move_the_window() {
    let mut receiver = Receiver::new(key());
    let forged = sealed(1, NOW).replacen(r#""s":1"#, r#""s":100000"#, 1);
    receiver.open(&forged, NOW).unwrap_err();
    receiver.open(&sealed(1, NOW), NOW).expect("the window did not move");
}

#[test]
fn text_that_is_no_envelope_is_named_as_such() {
    for text in ["", "{}", "[]", r#"{"t":1}"#, "\u{0}"] {
        let refusal = Receiver::new(key()).open(text, NOW).unwrap_err();
        assert_eq!(refusal.code(), "envelope_malformed", "{text:?}");
    }
}

proptest! {
    /// The bit set agrees with the obvious model: a number passes once, if it is among the newest 256.
    #[test]
    fn the_window_is_a_set_of_the_newest_256(numbers in prop::collection::vec(1_u64..1000, 1..600)) {
        let (mut window, mut seen, mut newest) = (Window::default(), BTreeSet::new(), 0);
        for number in numbers {
            let fresh = newest < REPLAY_WINDOW || number > newest - REPLAY_WINDOW;
            let expected = fresh && seen.insert(number);
            prop_assert_eq!(window.admit(number).is_ok(), expected, "{}", number);
            newest = newest.max(if expected { number } else { 0 });
        }
    }

    #[test]
    fn no_input_panics_the_receiver(text in ".*") {
        let _ = Receiver::new(key()).open(&text, NOW);
    }
}
