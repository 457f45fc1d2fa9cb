//! Runs one program with its output going to the job's log.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protocol::report::Stream;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::log::Log;
use super::process::end_descendants;
use crate::text::LineCutter;

/// Between SIGTERM and SIGKILL. Podman needs the first to end the RUN step.
const GRACE: Duration = Duration::from_millis(500);
/// For output that is still in the pipes when the program has ended.
const DRAIN: Duration = Duration::from_secs(2);

/// Podman's complaint about a host without syslog says nothing about the build.
const NOISE: [&str; 1] = ["failed to connect to syslog: Initialization"];

/// A program without input, without questions, with messages in English.
pub(super) fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env("LC_ALL", "C")
        .kill_on_drop(true);
    command
}

/// Waits for the program to end; `None` when it was ended because of `stop`.
pub(super) async fn run(
    mut command: Command,
    log: &Log,
    stop: &CancellationToken,
) -> io::Result<Option<ExitStatus>> {
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let output = async {
        tokio::join!(forward(stdout, Stream::Stdout, log), forward(stderr, Stream::Stderr, log));
    };
    tokio::pin!(output);
    let ended = tokio::select! {
        // A program that closed its output is still waited for.
        status = async { tokio::join!(&mut output, child.wait()).1 } => return status.map(Some),
        () = stop.cancelled() => end(&mut child).await,
    };
    // Elapsed means that a grandchild holds the pipe; its words are not waited for.
    let _ = tokio::time::timeout(DRAIN, output).await;
    ended.map(|()| None)
}

/// Standard output of a short program.
pub(super) async fn output(mut command: Command, limit: Duration) -> io::Result<String> {
    let output =
        tokio::time::timeout(limit, command.output()).await.map_err(|_| io::ErrorKind::TimedOut)??;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

async fn end(child: &mut Child) -> io::Result<()> {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // Err means that it ended just now.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    let ended = match tokio::time::timeout(GRACE, child.wait()).await {
        Ok(status) => status.map(drop),
        Err(_) => child.kill().await,
    };
    end_descendants().await;
    ended
}

async fn forward(from: Option<impl AsyncRead + Unpin>, stream: Stream, log: &Log) {
    let Some(mut from) = from else { return };
    let (mut cutter, mut chunk) = (LineCutter::default(), vec![0; 16 * 1024]);
    let keep = |text: String| {
        if !NOISE.contains(&text.trim()) {
            log.line(stream, &text);
        }
    };
    // A read error ends the output as its end does; the exit status tells the rest.
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        cutter.push(&chunk[..length], keep);
    }
    cutter.finish().into_iter().for_each(keep);
}
