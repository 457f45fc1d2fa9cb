//! What Podman sends of a program: with a terminal its bytes, without one pieces of either output behind a head of eight
//! bytes (output, three zeros, length).

use bytes::{Buf as _, Bytes, BytesMut};
use protocol::exec::{MAX_DATA, channel};
use tokio_util::codec::Decoder;

/// Cuts the stream into pieces of at most [`MAX_DATA`] bytes, each with its channel.
#[derive(Debug)]
pub(super) struct Output {
    /// Of the piece that is being read, and what is left of it.
    channel: u8,
    left: usize,
    heads: bool,
}

const HEAD: usize = 8;

impl Output {
    pub(super) fn new(terminal: bool) -> Self {
        Self { channel: channel::STDOUT, left: 0, heads: !terminal }
    }
}

impl Decoder for Output {
    type Item = (u8, Bytes);
    type Error = std::io::Error;

    fn decode(&mut self, from: &mut BytesMut) -> std::io::Result<Option<Self::Item>> {
        while self.heads && self.left == 0 {
            let Some(head) = from.get(..HEAD) else { return Ok(None) };
            self.channel = if head[0] == 2 { channel::STDERR } else { channel::STDOUT };
            self.left = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
            from.advance(HEAD);
        }
        let whole = if self.heads { self.left.min(from.len()) } else { from.len() };
        let piece = from.split_to(whole.min(MAX_DATA)).freeze();
        self.left = self.left.saturating_sub(piece.len());
        Ok((!piece.is_empty()).then_some((self.channel, piece)))
    }

    /// A stream that ends within a piece ends: its program was killed.
    fn decode_eof(&mut self, from: &mut BytesMut) -> std::io::Result<Option<Self::Item>> {
        self.decode(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(output: u8, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).expect("short").to_be_bytes();
        [&[output, 0, 0, 0][..], &length, data].concat()
    }

    /// Everything per channel, however the stream is cut.
    fn read(terminal: bool, stream: &[u8], cut: usize) -> (Vec<u8>, Vec<u8>) {
        let (mut output, mut buffer) = (Output::new(terminal), BytesMut::new());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        for chunk in stream.chunks(cut) {
            buffer.extend_from_slice(chunk);
            while let Some((channel, data)) = output.decode(&mut buffer).expect("no error") {
                assert!(data.len() <= MAX_DATA);
                if channel == channel::STDERR { &mut err } else { &mut out }.extend_from_slice(&data);
            }
        }
        (out, err)
    }

    #[test]
    fn the_outputs_are_told_apart_however_the_stream_is_cut() {
        let long = vec![b'x'; 3 * MAX_DATA + 5];
        let stream = [piece(1, b"one"), piece(2, b"bad"), piece(1, b""), piece(1, &long)].concat();
        for cut in [1, 7, 8, 9, 1000, stream.len()] {
            let (out, err) = read(false, &stream, cut);
            assert_eq!((out.len(), err.as_slice()), (3 + long.len(), &b"bad"[..]), "cut {cut}");
            assert!(out.starts_with(b"one"));
        }
    }

    #[test]
    fn a_terminal_has_one_output_and_no_heads() {
        let stream = piece(2, b"\x1b[1mhello");
        assert_eq!(read(true, &stream, 5), (stream, Vec::new()));
    }
}
