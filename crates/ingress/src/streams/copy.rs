//! Bytes both ways. A piece that the other side takes at once is never kept, so that a connection with nothing under way
//! holds no buffer; of one whose receiver is slow, one piece in each direction is held, and no more is read.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::table::Tally;
use crate::upstream::now_ms;

/// The most that is read at once, bytes.
const PIECE: usize = 16 * 1024;

/// Copies until both sides have ended, one fails, or nothing moved for `idle`. The end of one direction is passed on,
/// and the other goes on.
pub(super) async fn both_ways<C, U>(
    client: &mut C,
    upstream: &mut U,
    idle: Duration,
    tally: &Arc<Tally>,
) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let last = AtomicU64::new(now_ms());
    let (mut up, mut down) = (Way::default(), Way::default());
    let copying = poll_fn(|cx| {
        let from_client = up.poll(cx, client, upstream, |bytes| {
            tally.moved(bytes, 0);
            last.store(now_ms(), Ordering::Relaxed);
        })?;
        let to_client = down.poll(cx, upstream, client, |bytes| {
            tally.moved(0, bytes);
            last.store(now_ms(), Ordering::Relaxed);
        })?;
        match (from_client, to_client) {
            (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    });
    tokio::select! {
        ended = copying => ended,
        () = quiet(&last, idle) => Err(io::Error::new(io::ErrorKind::TimedOut, "nothing moved for too long")),
    }
}

/// Returns when `last`, in milliseconds as [`now_ms`], is `idle` ago. Asks the clock seldom, however much moves.
pub(super) async fn quiet(last: &AtomicU64, idle: Duration) {
    loop {
        let since = Duration::from_millis(now_ms().saturating_sub(last.load(Ordering::Relaxed)));
        match idle.checked_sub(since) {
            None | Some(Duration::ZERO) => return,
            Some(left) => tokio::time::sleep(left).await,
        }
    }
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    /// Read and not taken yet, from `taken` on.
    held: Vec<u8>,
    taken: usize,
    unflushed: bool,
    /// Nothing more comes.
    ended: bool,
    /// That was passed on.
    closed: bool,
}

impl Way {
    /// Moves what can be moved; `note` is told of bytes that were taken.
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        note: impl Fn(u64),
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            if self.closed {
                return Poll::Ready(Ok(()));
            }
            while self.taken < self.held.len() {
                let taken = ready!(Pin::new(&mut *to).poll_write(cx, &self.held[self.taken..]))?;
                self.took(taken, &note)?;
                self.taken += taken;
            }
            (self.held, self.taken) = (Vec::new(), 0);
            if self.ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.closed = true;
                continue;
            }
            let mut piece = [const { MaybeUninit::uninit() }; PIECE];
            let mut piece = ReadBuf::uninit(&mut piece);
            let Poll::Ready(read) = Pin::new(&mut *from).poll_read(cx, &mut piece) else {
                if self.unflushed {
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    self.unflushed = false;
                }
                return Poll::Pending;
            };
            read?;
            let read = piece.filled();
            if read.is_empty() {
                self.ended = true;
                continue;
            }
            let taken = match Pin::new(&mut *to).poll_write(cx, read)? {
                Poll::Ready(taken) => {
                    self.took(taken, &note)?;
                    taken
                }
                Poll::Pending => 0,
            };
            self.held.extend_from_slice(&read[taken..]);
        }
    }

    fn took(&mut self, taken: usize, note: &impl Fn(u64)) -> io::Result<()> {
        if taken == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.unflushed = true;
        note(taken as u64);
        Ok(())
    }
}
