//! A program inside a running container, to its end.

use std::time::Duration;

use futures_util::StreamExt as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::{Error, Podman};

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub exit_code: i32,
    /// The first bytes that it printed, of both streams.
    pub output: Vec<u8>,
}

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "Id")]
    id: String,
}

impl Podman {
    /// Runs `command`, keeping `most` bytes of what it prints; `None` when it takes longer than `limit` and is killed.
    pub async fn exec(
        &self,
        container: &str,
        command: &[String],
        limit: Duration,
        most: usize,
    ) -> Result<Option<Ended>, Error> {
        let body = json!({ "Cmd": command, "AttachStdout": true, "AttachStderr": true });
        let request = self.request(Method::POST, &format!("/containers/{container}/exec"), &[]).json(&body);
        let Created { id } = self.json(request).await?;
        let output = tokio::time::timeout(limit, self.output(&id, most)).await;
        let session = self.inspect_exec(&id).await?;
        let Ok(output) = output else {
            if session.running && session.pid > 1 {
                // Err means that it ended just now.
                let _ = kill(Pid::from_raw(session.pid), Signal::SIGKILL);
            }
            return Ok(None);
        };
        Ok(Some(Ended { exit_code: session.exit_code, output: output? }))
    }

    async fn output(&self, id: &str, most: usize) -> Result<Vec<u8>, Error> {
        let start = json!({ "Detach": false, "Tty": false });
        let request = self.request(Method::POST, &format!("/exec/{id}/start"), &[]).json(&start);
        let mut chunks = self.send(request).await?.bytes_stream();
        let (mut framed, mut kept) = (Vec::new(), Vec::new());
        // To the end, whatever is kept: it is the end of the program.
        while let Some(chunk) = chunks.next().await {
            framed.extend_from_slice(&chunk.map_err(Error::Broken)?);
            unframe(&mut framed, |bytes| {
                let room = most.saturating_sub(kept.len());
                kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
            });
        }
        Ok(kept)
    }
}

/// Takes whole frames from the front: one byte of stream, three of nothing, four of length, the bytes.
fn unframe(framed: &mut Vec<u8>, mut take: impl FnMut(&[u8])) {
    while let Some((head, rest)) = framed.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if rest.len() < length {
            return;
        }
        take(&rest[..length]);
        framed.drain(..8 + length);
    }
}

#[cfg(test)]
mod tests {
    use super::unframe;

    #[test]
    fn frames_are_put_together_however_they_arrive() {
        let all = [&[1, 0, 0, 0, 0, 0, 0, 3][..], b"one", &[2, 0, 0, 0, 0, 0, 0, 2], b"tw"].concat();
        let (mut framed, mut seen) = (Vec::new(), Vec::new());
        for byte in all {
            framed.push(byte);
            unframe(&mut framed, |bytes| seen.extend_from_slice(bytes));
        }
        assert_eq!((seen.as_slice(), framed.len()), (&b"onetw"[..], 0));
    }
}
