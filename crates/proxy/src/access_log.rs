//! Traefik's access log, from which the requests of the apps are recorded as the built-in engine records its own.
//!
//! The file is read as it grows, and emptied when it has become long. What Traefik wrote before this process began, or
//! in the moment in which the file is emptied, is not counted.

mod line;

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use ingress::traffic::Recorder;
use protocol::spec::ProxySpec;
use protocol::traffic::AppTraffic;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use line::Line;

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// A file that is longer is emptied once it is read.
const LONG: u64 = 16 << 20;
/// Of what is read at once, and of the longest line.
const PIECE: usize = 256 << 10;

/// One access log, and whose requests are in it.
#[derive(Debug)]
pub(crate) struct AccessLog {
    path: PathBuf,
    recorder: Recorder,
    /// App by route.
    apps: Mutex<Arc<HashMap<String, String>>>,
}

/// How far the file was read.
#[derive(Debug, Default)]
struct Place {
    inode: u64,
    offset: u64,
    /// The begin of a line whose end is still to come.
    rest: Vec<u8>,
}

/// What went wrong last, so that the same failure again and again is one line, not one per second.
#[derive(Debug, Default)]
struct Problem(String);

impl Problem {
    fn tell(&mut self, outcome: anyhow::Result<()>, means: &'static str) {
        let problem = outcome.err().map(|error| format!("{error:#}")).unwrap_or_default();
        if !problem.is_empty() && problem != self.0 {
            warn!(error = problem, "{means}");
        }
        self.0 = problem;
    }
}

impl AccessLog {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, recorder: Recorder::default(), apps: Mutex::default() }
    }

    /// Takes the routes whose requests are told from now on.
    pub(crate) fn take(&self, spec: &ProxySpec) {
        let apps = spec.routes.iter().map(|route| (route.id.clone(), route.app.clone())).collect();
        *self.apps.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(apps);
    }

    /// What was recorded since the last call.
    pub(crate) fn traffic(&self) -> Vec<AppTraffic> {
        self.recorder.drain()
    }

    /// Reads until `stop`, and then what came last; `after` is cancelled when that is done.
    pub(crate) async fn follow(
        self: Arc<Self>,
        stop: CancellationToken,
        after: CancellationToken,
    ) -> anyhow::Result<()> {
        let _after = after.drop_guard();
        let mut place = self.end();
        let (mut unread, mut long) = (Problem::default(), Problem::default());
        loop {
            let more = stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some();
            let log = Arc::clone(&self);
            let (behind, read, emptied) = tokio::task::spawn_blocking(move || {
                let read = log.read(&mut place);
                // Not before all of it was read.
                let emptied = if read.is_ok() { log.empty(&mut place) } else { Ok(()) };
                (place, read, emptied)
            })
            .await?;
            place = behind;
            unread.tell(read, "no traffic is told of this proxy's apps");
            long.tell(emptied, "Traefik's access log grows: what is in it is told, but it cannot be emptied");
            if !more {
                return Ok(());
            }
        }
    }

    /// Behind what is there.
    fn end(&self) -> Place {
        let there = std::fs::metadata(&self.path).ok();
        there.map_or_else(Place::default, |there| Place {
            inode: there.ino(),
            offset: there.len(),
            rest: Vec::new(),
        })
    }

    /// Records what came since the last time. Blocks for the disk.
    fn read(&self, place: &mut Place) -> anyhow::Result<()> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            // Traefik makes it.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).with_context(|| self.setting()),
        };
        let there = file.metadata()?;
        if there.ino() != place.inode || there.len() < place.offset {
            *place = Place { inode: there.ino(), ..Place::default() };
        }
        file.seek(SeekFrom::Start(place.offset))?;
        let apps = Arc::clone(&self.apps.lock().unwrap_or_else(PoisonError::into_inner));
        let mut piece = vec![0; PIECE];
        loop {
            match file.read(&mut piece).with_context(|| self.setting())? {
                0 => break,
                read => {
                    place.offset += read as u64;
                    self.record(&apps, &mut place.rest, &piece[..read]);
                }
            }
        }
        Ok(())
    }

    /// Empties a file that was read and is long. Blocks for the disk.
    fn empty(&self, place: &mut Place) -> anyhow::Result<()> {
        if place.offset > LONG {
            let file = OpenOptions::new().write(true).open(&self.path).with_context(|| self.setting())?;
            file.set_len(0).with_context(|| self.setting())?;
            *place = Place { inode: place.inode, ..Place::default() };
        }
        Ok(())
    }

    /// Records the lines that end in `piece`. `rest` is what the first of them begins with, and the last one after it.
    fn record(&self, apps: &HashMap<String, String>, rest: &mut Vec<u8>, piece: &[u8]) {
        let mut lines = piece.split_inclusive(|byte| *byte == b'\n');
        if !rest.is_empty()
            && let Some(end) = lines.next()
        {
            rest.extend_from_slice(end);
            if end.ends_with(b"\n") {
                self.record_line(apps, rest);
                rest.clear();
            }
        }
        for line in lines {
            if line.ends_with(b"\n") {
                self.record_line(apps, line);
            } else {
                *rest = line.to_vec();
            }
        }
        if rest.len() > PIECE {
            // No request has such a line; its end is skipped with the next one.
            rest.clear();
            skipped();
        }
    }

    fn record_line(&self, apps: &HashMap<String, String>, line: &[u8]) {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else { return skipped() };
        if let Some(app) = line.route(|id| apps.get(id)) {
            line.record(&self.recorder.app(app));
        }
    }

    fn setting(&self) -> String {
        format!("`traefik.access_log` {}", self.path.display())
    }
}

fn skipped() {
    metrics::counter!("wisehosting_traefik_log_lines_skipped_total").increment(1);
}

#[cfg(test)]
mod tests;
