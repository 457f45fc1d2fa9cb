//! The signed envelope around every message on the socket, as in the architecture seed:
//! `{t,i,s,ts,p,h}` with `h = HMAC-SHA256(key, "t|i|s|ts|p")` in hexadecimal, key `sha256(api_key)`.
//!
//! The payload is kept as the text that was sent ([`RawValue`]), so that what is verified is what was signed,
//! whatever the order of its keys.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::Sha256;

use crate::identity::SigningKey;

/// Envelopes further from the receiver's clock than this, in milliseconds, are refused (seed: 5 minutes).
pub const MAX_SKEW_MS: i64 = 5 * 60 * 1000;

/// How many of the latest sequence numbers are remembered (seed: 256).
pub const REPLAY_WINDOW: u64 = 256;

/// One signed message on the wire.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Message type.
    #[serde(rename = "t")]
    pub kind: String,
    /// Random 16 bytes in hexadecimal. A message that is sent again keeps its id.
    #[serde(rename = "i")]
    pub id: MessageId,
    /// Sequence number of this direction of this connection, from 1.
    #[serde(rename = "s")]
    pub seq: u64,
    /// Unix time in milliseconds at which it was signed.
    #[serde(rename = "ts")]
    pub sent_at_ms: i64,
    #[serde(rename = "p")]
    pub payload: Box<RawValue>,
    #[serde(rename = "h")]
    pub hmac: String,
}

/// Names one message, through all times it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(String);

impl MessageId {
    pub fn random() -> Self {
        let bytes: [u8; 16] = rand::random();
        Self(hex::encode(bytes))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why an envelope was refused. The text says what to look at on the host that sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("not an envelope: {0}")]
    Malformed(String),
    #[error(
        "envelope `h` does not match: the two sides hold different API keys, or the message was changed on its way"
    )]
    WrongHmac,
    #[error(
        "envelope `ts` is {skew_ms} ms away from the receiver's clock (at most {MAX_SKEW_MS}): set the clock, for example with chrony"
    )]
    Skew { skew_ms: i64 },
    #[error("envelope `s` {seq} was already received")]
    Replayed { seq: u64 },
    #[error("envelope `s` {seq} is older than the window of {REPLAY_WINDOW} behind {newest}")]
    TooOld { seq: u64, newest: u64 },
}

impl Refusal {
    /// A stable word for metrics and for the answer to the sender.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "envelope_malformed",
            Self::WrongHmac => "envelope_hmac",
            Self::Skew { .. } => "envelope_skew",
            Self::Replayed { .. } => "envelope_replayed",
            Self::TooOld { .. } => "envelope_too_old",
        }
    }
}

/// Signs one direction of one connection.
#[derive(Debug)]
pub struct Sender {
    key: SigningKey,
    seq: u64,
}

impl Sender {
    pub fn new(key: SigningKey) -> Self {
        Self { key, seq: 0 }
    }

    /// Puts `payload` into a signed envelope, as the JSON text for the socket.
    pub fn seal(&mut self, kind: &str, id: &MessageId, payload: Box<RawValue>, now_ms: i64) -> String {
        self.seq += 1;
        let hmac = hex::encode(mac(&self.key, kind, id, self.seq, now_ms, &payload).finalize().into_bytes());
        let envelope = Envelope {
            kind: kind.to_owned(),
            id: id.clone(),
            seq: self.seq,
            sent_at_ms: now_ms,
            payload,
            hmac,
        };
        serde_json::to_string(&envelope).expect("an envelope holds only strings, numbers and checked JSON")
    }
}

/// Checks one direction of one connection.
#[derive(Debug)]
pub struct Receiver {
    key: SigningKey,
    window: Window,
}

impl Receiver {
    pub fn new(key: SigningKey) -> Self {
        Self { key, window: Window::default() }
    }

    /// Parses and checks `text`. The order is signature, clock, sequence: nothing unsigned moves the window.
    pub fn open(&mut self, text: &str, now_ms: i64) -> Result<Envelope, Refusal> {
        let envelope: Envelope =
            serde_json::from_str(text).map_err(|error| Refusal::Malformed(error.to_string()))?;
        let Envelope { kind, id, seq, sent_at_ms, payload, hmac } = &envelope;
        let sent = hex::decode(hmac).map_err(|_| Refusal::WrongHmac)?;
        mac(&self.key, kind, id, *seq, *sent_at_ms, payload)
            .verify_slice(&sent)
            .map_err(|_| Refusal::WrongHmac)?;
        let skew_ms = sent_at_ms.saturating_sub(now_ms);
        if skew_ms.saturating_abs() > MAX_SKEW_MS {
            return Err(Refusal::Skew { skew_ms });
        }
        self.window.admit(*seq)?;
        Ok(envelope)
    }
}

fn mac(key: &SigningKey, kind: &str, id: &MessageId, seq: u64, ts: i64, payload: &RawValue) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).expect("HMAC takes keys of any length");
    mac.update(format!("{kind}|{}|{seq}|{ts}|", id.as_str()).as_bytes());
    mac.update(payload.get().as_bytes());
    mac
}

/// The latest [`REPLAY_WINDOW`] sequence numbers as a bit set that slides with the newest.
#[derive(Debug, Default)]
struct Window {
    newest: u64,
    /// Bit `n % 64` of word `n % 256 / 64` says that `n` was seen.
    seen: [u64; 4],
}

impl Window {
    fn admit(&mut self, seq: u64) -> Result<(), Refusal> {
        if self.newest >= REPLAY_WINDOW && seq <= self.newest - REPLAY_WINDOW {
            return Err(Refusal::TooOld { seq, newest: self.newest });
        }
        if seq > self.newest {
            if seq - self.newest >= REPLAY_WINDOW {
                self.seen = [0; 4];
            } else {
                for passed in self.newest + 1..seq {
                    self.set(passed, false);
                }
            }
            self.newest = seq;
        } else if self.get(seq) {
            return Err(Refusal::Replayed { seq });
        }
        self.set(seq, true);
        Ok(())
    }

    fn get(&self, seq: u64) -> bool {
        self.seen[word(seq)] & (1 << (seq % 64)) != 0
    }

    fn set(&mut self, seq: u64, value: bool) {
        let bit = 1 << (seq % 64);
        if value {
            self.seen[word(seq)] |= bit;
        } else {
            self.seen[word(seq)] &= !bit;
        }
    }
}

fn word(seq: u64) -> usize {
    usize::try_from(seq % REPLAY_WINDOW / 64).expect("at most 3")
}

#[cfg(test)]
mod tests;
