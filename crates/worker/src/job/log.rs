//! The job's log on disk: written line by line by the process, read in batches by the agent. The file is the buffer
//! between the two, so neither waits for the other and nothing is lost when one of them ends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use protocol::job::{Recipe, Stage};
use protocol::report::{LogLine, Stream};
use serde::{Deserialize, Serialize};

use crate::scrub::Scrubber;
use crate::text::{MAX_LINE, clean};

/// After so many lines the rest of a build's output is dropped.
const MAX_LINES: i64 = 200_000;
/// How many of the last lines a failure shows.
const REMEMBERED: usize = 30;

/// And how much of each.
const REMEMBERED_CHARS: usize = 1000;

/// Lines per message.
pub(crate) const BATCH_LINES: usize = 200;
/// Bytes per message; the link carries 1 MiB.
pub(crate) const BATCH_BYTES: usize = 256 * 1024;

/// One line of `log.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    Line(LogLine),
    Stage(Step),
    /// The value of this variable was taken out of a line.
    Scrubbed(String),
    /// A host of repositories proved itself for the first time.
    HostKey(HostKey),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct HostKey {
    pub(super) host: String,
    /// `TYPE KEY`.
    pub(super) key: String,
}

/// The job is in a stage; with how it is built, once that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) stage: Stage,
    pub(super) at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) recipe: Option<Box<Recipe>>,
}

/// The writing end. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Log(Arc<Mutex<Writer>>);

#[derive(Debug)]
struct Writer {
    file: File,
    next: i64,
    recent: VecDeque<String>,
    scrubber: Scrubber,
    /// Names that were told.
    scrubbed: BTreeSet<String>,
    /// And keys.
    host_keys: BTreeSet<HostKey>,
}

impl Log {
    /// Continues the log in `path`, after the last whole line.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
        let mut lines = 0;
        for line in BufReader::new(&file).split(b'\n') {
            lines += i64::from(matches!(serde_json::from_slice(&line?), Ok(Entry::Line(_))));
        }
        Ok(Self(Arc::new(Mutex::new(Writer {
            file,
            next: lines + 1,
            recent: VecDeque::new(),
            scrubber: Scrubber::default(),
            scrubbed: BTreeSet::new(),
            host_keys: BTreeSet::new(),
        }))))
    }

    /// From now on these values are in no line.
    pub(super) fn hide(&self, known: &BTreeMap<String, String>) {
        self.writer().scrubber = Scrubber::new(known);
    }

    /// `text` that goes another way than in a line, without those values.
    pub(super) fn without_values(&self, text: String) -> String {
        self.writer().scrub(text, usize::MAX)
    }

    /// A host proved itself for the first time.
    pub(super) fn host_key(&self, key: HostKey) {
        let mut writer = self.writer();
        if writer.host_keys.insert(key.clone()) {
            writer.append(&Entry::HostKey(key));
        }
    }

    pub(super) fn stage(&self, stage: Stage) {
        self.writer().append(&Entry::Stage(Step { stage, at: Utc::now(), recipe: None }));
    }

    /// How the source is built, when a preset says so.
    pub(super) fn recipe(&self, recipe: Recipe) {
        let step = Step { stage: Stage::Build, at: Utc::now(), recipe: Some(Box::new(recipe)) };
        self.writer().append(&Entry::Stage(step));
    }

    /// `WiseHosting` itself says something.
    pub(super) fn say(&self, text: &str) {
        self.line(Stream::System, text);
    }

    pub(super) fn line(&self, stream: Stream, text: &str) {
        self.writer().line(stream, text);
    }

    pub(super) fn last_lines(&self) -> Vec<String> {
        self.writer().recent.iter().cloned().collect()
    }

    fn writer(&self) -> std::sync::MutexGuard<'_, Writer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn scrub(&mut self, text: String, limit: usize) -> String {
        let mut found = BTreeSet::new();
        let text = self.scrubber.scrub(text, limit, |name| _ = found.insert(name.to_owned()));
        for name in found {
            if self.scrubbed.insert(name.clone()) {
                self.append(&Entry::Scrubbed(name));
            }
        }
        text
    }

    fn line(&mut self, stream: Stream, text: &str) {
        let text = self.scrub(clean(text.as_bytes()), MAX_LINE);
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(text.chars().take(REMEMBERED_CHARS).collect());
        if self.next > MAX_LINES {
            return;
        }
        let (stream, text) = if self.next == MAX_LINES {
            (Stream::System, format!("The log ends here: it has {MAX_LINES} lines"))
        } else {
            (stream, text)
        };
        self.append(&Entry::Line(LogLine { seq: self.next, at: Utc::now(), stream, text }));
        self.next += 1;
    }

    fn append(&mut self, entry: &Entry) {
        let mut text = serde_json::to_vec(entry).expect("entries have string keys only");
        text.push(b'\n');
        if let Err(error) = self.file.write_all(&text) {
            tracing::error!(%error, "cannot write the build's log");
        }
    }
}

/// What can be sent together: some lines, then perhaps one stage.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) lines: Vec<LogLine>,
    pub(super) stage: Option<Step>,
    /// Variables whose values were taken out.
    pub(super) scrubbed: Vec<String>,
    pub(super) host_keys: Vec<HostKey>,
    /// Where the next batch begins.
    pub(super) end: u64,
}

/// Reads whole lines from `offset` on. A line that is not finished yet waits for the next batch.
pub(super) fn read_batch(path: &Path, offset: u64) -> io::Result<Batch> {
    let mut batch = Batch { end: offset, ..Batch::default() };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(batch),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(offset))?;
    let mut reader = BufReader::new(file.take(4 * 1024 * 1024));
    let (mut text, mut bytes) = (Vec::new(), 0);
    while batch.stage.is_none() && batch.lines.len() < BATCH_LINES && bytes < BATCH_BYTES {
        text.clear();
        let length = reader.read_until(b'\n', &mut text)?;
        if text.last() != Some(&b'\n') {
            break;
        }
        batch.end += length as u64;
        match serde_json::from_slice(&text) {
            Ok(Entry::Line(line)) => {
                bytes += length;
                batch.lines.push(line);
            }
            Ok(Entry::Stage(step)) => batch.stage = Some(step),
            Ok(Entry::Scrubbed(name)) => batch.scrubbed.push(name),
            Ok(Entry::HostKey(key)) => batch.host_keys.push(key),
            // Half a line of a process that was killed, then the next one's: lost, the rest is good.
            Err(error) => tracing::warn!(%error, "skipped a damaged line of a build's log"),
        }
    }
    Ok(batch)
}

/// The last lines of the log in `path`, for a failure that the process itself could not report.
pub(super) fn last_lines(path: &Path) -> io::Result<Vec<String>> {
    const TAIL: u64 = 64 * 1024;
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(TAIL);
    file.seek(SeekFrom::Start(start))?;
    let mut lines = VecDeque::new();
    for text in BufReader::new(file).split(b'\n') {
        // The first line may be cut.
        if let Ok(Entry::Line(line)) = serde_json::from_slice(&text?) {
            lines.push_back(line.text.chars().take(REMEMBERED_CHARS).collect());
            if lines.len() > REMEMBERED {
                lines.pop_front();
            }
        }
    }
    Ok(lines.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(batch: &Batch) -> Vec<(i64, &str)> {
        batch.lines.iter().map(|line| (line.seq, line.text.as_str())).collect()
    }

    #[test]
    fn reading_resumes_where_it_was_acknowledged() {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("log.jsonl");
        let log = Log::open(&path).expect("open");
        log.line(Stream::Stdout, "one");
        log.stage(Stage::Build);
        log.line(Stream::Stderr, "two");
        let first = read_batch(&path, 0).expect("read");
        assert_eq!(
            (texts(&first), first.stage.as_ref().expect("stage").stage),
            (vec![(1, "one")], Stage::Build)
        );
        let second = read_batch(&path, first.end).expect("read");
        assert_eq!((texts(&second), &second.stage), (vec![(2, "two")], &None));
        assert_eq!(
            read_batch(&path, second.end).expect("read"),
            Batch { end: second.end, ..Batch::default() }
        );
    }

    #[test]
    fn a_hidden_value_is_in_no_line_and_its_name_is_told_once() {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("log.jsonl");
        let log = Log::open(&path).expect("open");
        log.hide(&BTreeMap::from([("TOKEN".to_owned(), "hunter2-hunter2".to_owned())]));
        log.line(Stream::Stdout, "token hunter2-hunter2");
        log.line(Stream::Stderr, "again hunter2-hunter2");
        let batch = read_batch(&path, 0).expect("read");
        assert_eq!(texts(&batch), [(1, "token [TOKEN]"), (2, "again [TOKEN]")]);
        assert_eq!(batch.scrubbed, ["TOKEN"]);
        assert_eq!(log.last_lines(), ["token [TOKEN]", "again [TOKEN]"]);
        assert_eq!(log.without_values("`echo hunter2-hunter2` failed".to_owned()), "`echo [TOKEN]` failed");
        log.line(Stream::Stdout, &format!("{}hunter2-hunter2", "x".repeat(MAX_LINE - 7)));
        assert!(!std::fs::read_to_string(&path).expect("read").contains("hunter2"));
    }

    #[test]
    fn numbers_go_on_when_another_process_continues_the_log() {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("log.jsonl");
        Log::open(&path).expect("open").say("agent");
        Log::open(&path).expect("open").say("process");
        assert_eq!(texts(&read_batch(&path, 0).expect("read")), [(1, "agent"), (2, "process")]);
    }

    #[test]
    fn half_a_line_is_not_read_and_batches_are_bounded() {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("log.jsonl");
        let log = Log::open(&path).expect("open");
        for number in 0..BATCH_LINES + 5 {
            log.say(&number.to_string());
        }
        File::options()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(b"{\"line\""))
            .expect("write");
        let first = read_batch(&path, 0).expect("read");
        assert_eq!(first.lines.len(), BATCH_LINES);
        let second = read_batch(&path, first.end).expect("read");
        assert_eq!(second.lines.len(), 5);
        assert_eq!(read_batch(&path, second.end).expect("read").lines, []);
    }
}
