//! What a probe looks like: a mark, whether it asks or answers, and a number; an ask may be longer, to see whether a
//! packet of its length arrives. Answers have no more than this, so nobody gains by asking in another's name. In the
//! same form a peer says that it begins to use its next key.

/// UDP port on the mesh address, on every host.
pub(super) const PORT: u16 = 51822;
/// Bytes of an answer and of the smallest ask.
pub(super) const LENGTH: usize = 16;
/// Bytes that IPv4 and UDP put in front.
pub(super) const HEADERS: u16 = 28;

const MARK: [u8; 4] = *b"whp1";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    Ask(u64),
    Answer(u64),
    /// Who sends this uses the key that it announced before, from now on. Not answered.
    Turn,
}

impl Probe {
    pub(super) fn bytes(self) -> [u8; LENGTH] {
        let (kind, number) = match self {
            Self::Ask(number) => (0, number),
            Self::Answer(number) => (1, number),
            Self::Turn => (2, 0),
        };
        let mut bytes = [0; LENGTH];
        bytes[..4].copy_from_slice(&MARK);
        bytes[4] = kind;
        bytes[8..].copy_from_slice(&number.to_le_bytes());
        bytes
    }

    /// `None` for what is no probe.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (mark, rest) = bytes.split_first_chunk::<4>()?;
        let (head, rest) = rest.split_first_chunk::<4>()?;
        let number = u64::from_le_bytes(*rest.first_chunk::<8>()?);
        match (*mark == MARK, head[0]) {
            (true, 0) => Some(Self::Ask(number)),
            (true, 1) => Some(Self::Answer(number)),
            (true, 2) => Some(Self::Turn),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_read_back_whatever_follows_them_and_other_packets_are_none() {
        for probe in [Probe::Ask(7), Probe::Answer(u64::MAX), Probe::Turn] {
            let mut padded = probe.bytes().to_vec();
            assert_eq!(Probe::read(&padded), Some(probe));
            padded.resize(1400, 0);
            assert_eq!(Probe::read(&padded), Some(probe));
            assert_eq!(Probe::read(&padded[..LENGTH - 1]), None);
            padded[0] = b'x';
            assert_eq!(Probe::read(&padded), None);
        }
    }
}
