//! Streams as what the synchronous `tar` library reads and writes. For threads that may block.

use std::io::{self, Read, Write};

use bytes::{Buf as _, Bytes};
use futures_util::{Stream, StreamExt as _};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Reads a stream.
pub(super) struct Chunks<S> {
    stream: S,
    runtime: Handle,
    chunk: Bytes,
}

impl<S> Chunks<S> {
    /// To be called within the runtime, and read on a thread that may block.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, runtime: Handle::current(), chunk: Bytes::new() }
    }
}

impl<S: Stream<Item = Result<Bytes, reqwest::Error>> + Unpin> Read for Chunks<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                Some(chunk) => self.chunk = chunk.map_err(|error| io::Error::other(error.without_url()))?,
                None => return Ok(0),
            }
        }
        let length = into.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}

/// Writes to whoever has the other end of the channel; its going away ends the writer with an error.
pub(super) struct Sink(pub(super) mpsc::Sender<io::Result<Bytes>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
