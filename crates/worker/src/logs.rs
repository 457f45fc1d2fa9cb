//! The apps' output: reads Podman's log files (k8s-file: one line per entry, `TIME STREAM F|P TEXT`) and delivers
//! them. The file is the buffer: while the control plane is away or slow nothing is read, and nothing is lost until
//! Podman begins a new file.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use protocol::ids::{AppId, InstanceId};
use protocol::message::FromAgent;
use protocol::report::{InstanceLog, LogLine, Scrubbed, ScrubbedFrom, Stream};
use serde::{Deserialize, Serialize};

use crate::scrub::Scrubber;
use crate::text::{MAX_LINE, clean};
use crate::uplink::Uplink;

/// Lines are sent together when they come within this time.
const GATHER: Duration = Duration::from_millis(250);
const BATCH_LINES: usize = 200;
/// As JSON; the link carries 1 MiB.
const BATCH_BYTES: usize = 512 * 1024;

/// Whose log it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) app_id: AppId,
    pub(crate) instance_id: InstanceId,
    pub(crate) release: i32,
}

/// How far an instance's log was acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    inode: u64,
    offset: u64,
    /// Of the last line.
    seq: i64,
    /// Where a line begins of which some parts are before `offset`, and the others not.
    #[serde(default)]
    begun: Option<u64>,
}

impl Position {
    fn load(file: &Path) -> Self {
        let text = std::fs::read(file).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Not synced: after a power loss some lines are sent twice, with the same numbers.
    fn save(self, file: &Path) -> io::Result<()> {
        let temporary = file.with_extension("new");
        std::fs::write(&temporary, serde_json::to_vec(&self).map_err(io::Error::other)?)?;
        std::fs::rename(temporary, file)
    }
}

/// Delivers the log in `path` until its container is gone and all was delivered.
pub(crate) async fn follow(
    uplink: &impl Uplink,
    owner: Owner,
    path: PathBuf,
    positions: &Path,
    scrubber: &Scrubber,
) -> io::Result<()> {
    std::fs::create_dir_all(positions)?;
    let memory = positions.join(format!("{}.json", owner.instance_id));
    let mut reader = Reader::new(path, Position::load(&memory));
    let mut told = BTreeSet::new();
    loop {
        let mut lines = reader.read()?;
        if lines.is_empty() {
            if reader.is_over() {
                return match std::fs::remove_file(&memory) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                    _ => Ok(()),
                };
            }
            tokio::time::sleep(GATHER).await;
            continue;
        }
        let full = lines.len() == BATCH_LINES;
        let Owner { app_id, instance_id, release } = owner;
        let mut found = BTreeSet::new();
        for line in &mut lines {
            let text = std::mem::take(&mut line.text);
            line.text = scrubber.scrub(text, MAX_LINE, |name| _ = found.insert(name.to_owned()));
        }
        for variable in found.difference(&told).cloned() {
            let scrubbed = Scrubbed { app_id, variable, from: ScrubbedFrom::Instance(instance_id) };
            if uplink.deliver(FromAgent::Scrubbed(scrubbed)).await.is_err() {
                return Ok(());
            }
        }
        told.append(&mut found);
        let message = FromAgent::InstanceLog(InstanceLog { app_id, instance_id, release, lines });
        if uplink.deliver(message).await.is_err() {
            return Ok(());
        }
        reader.position.save(&memory)?;
        if !full {
            tokio::time::sleep(GATHER).await;
        }
    }
}

struct Reader {
    path: PathBuf,
    file: Option<BufReader<File>>,
    position: Position,
    parts: Parts,
}

impl Reader {
    fn new(path: PathBuf, position: Position) -> Self {
        Self { path, file: None, position, parts: Parts::default() }
    }

    /// The next lines, if there are any.
    fn read(&mut self) -> io::Result<Vec<LogLine>> {
        let (mut lines, mut bytes, mut entry) = (Vec::new(), 0, Vec::new());
        while lines.len() < BATCH_LINES && bytes < BATCH_BYTES {
            let Some(file) = self.open()? else { break };
            entry.clear();
            let length = file.read_until(b'\n', &mut entry)?;
            if entry.last() != Some(&b'\n') {
                // Half an entry is read again when it is whole.
                file.seek_relative(-i64::try_from(length).unwrap_or(0))?;
                if length == 0 && self.was_replaced()? {
                    self.file = None;
                    continue;
                }
                break;
            }
            let line = self.take(&entry);
            self.position.offset += length as u64;
            self.position.begun = self.parts.begun();
            if let Some(line) = line {
                bytes += serde_json::to_vec(&line).map_or(0, |json| json.len());
                lines.push(line);
            }
        }
        Ok(lines)
    }

    fn open(&mut self) -> io::Result<Option<&mut BufReader<File>>> {
        if self.file.is_none() {
            let mut file = match File::open(&self.path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            let found = file.metadata()?;
            if found.ino() != self.position.inode || found.len() < self.position.offset {
                self.position =
                    Position { inode: found.ino(), seq: self.position.seq, ..Position::default() };
            }
            file.seek(SeekFrom::Start(self.position.begun.unwrap_or(self.position.offset)))?;
            let mut file = BufReader::new(file);
            self.parts.gather(&mut file, &self.position)?;
            self.file = Some(file);
        }
        Ok(self.file.as_mut())
    }

    /// Whether there is another file at the path than the one that is open.
    fn was_replaced(&self) -> io::Result<bool> {
        match std::fs::metadata(&self.path) {
            Ok(found) => Ok(found.ino() != self.position.inode),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The container was removed, and its log with it. An open file is read to its end before this is asked.
    fn is_over(&self) -> bool {
        !self.path.exists()
    }

    fn take(&mut self, entry: &[u8]) -> Option<LogLine> {
        let entry = parse(entry)?;
        let text = self.parts.join(&entry, self.position.offset)?;
        self.position.seq += 1;
        Some(LogLine { seq: self.position.seq, at: entry.at, stream: entry.stream, text })
    }
}

/// Beginnings of lines that Podman cut: of standard output, of standard error.
#[derive(Default)]
struct Parts([Part; 2]);

#[derive(Default)]
struct Part {
    text: Vec<u8>,
    /// Where its entry is.
    at: Option<u64>,
}

impl Parts {
    /// The whole line, with its last part, which is at `at`.
    fn join(&mut self, entry: &Entry<'_>, at: u64) -> Option<String> {
        let part = &mut self.0[usize::from(entry.stream == Stream::Stderr)];
        let room = MAX_LINE - part.text.len();
        part.text.extend_from_slice(&entry.text[..entry.text.len().min(room)]);
        if entry.partial {
            part.at.get_or_insert(at);
            return None;
        }
        part.at = None;
        Some(clean(&std::mem::take(&mut part.text)))
    }

    fn begun(&self) -> Option<u64> {
        self.0.iter().filter_map(|part| part.at).min()
    }

    /// After a restart, the parts of lines that are not whole before `position`. Half a line would be scrubbed of half
    /// a value only.
    fn gather(&mut self, file: &mut impl io::BufRead, position: &Position) -> io::Result<()> {
        let mut at = position.begun.unwrap_or(position.offset);
        let mut entry = Vec::new();
        while at < position.offset {
            entry.clear();
            let length = file.read_until(b'\n', &mut entry)? as u64;
            if length == 0 {
                break;
            }
            if let Some(entry) = parse(&entry) {
                self.join(&entry, at);
            }
            at += length;
        }
        Ok(())
    }
}

struct Entry<'a> {
    at: DateTime<Utc>,
    stream: Stream,
    partial: bool,
    text: &'a [u8],
}

fn parse(entry: &[u8]) -> Option<Entry<'_>> {
    let mut fields = entry.strip_suffix(b"\n").unwrap_or(entry).splitn(4, |byte| *byte == b' ');
    let at = DateTime::parse_from_rfc3339(std::str::from_utf8(fields.next()?).ok()?).ok()?.to_utc();
    let stream = match fields.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let partial = fields.next()?.starts_with(b"P");
    Some(Entry { at, stream, partial, text: fields.next()? })
}

/// The last lines of the log in `path`; none when it cannot be read.
pub(crate) fn tail(path: &Path, count: usize, scrubber: &Scrubber) -> Vec<String> {
    const BYTES: u64 = 64 * 1024;
    const LENGTH: usize = 1000;
    let read = || -> io::Result<(u64, Vec<u8>)> {
        let mut file = File::open(path)?;
        let start = file.metadata()?.len().saturating_sub(BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut text = Vec::new();
        file.take(BYTES).read_to_end(&mut text)?;
        Ok((start, text))
    };
    let (start, text) = read().unwrap_or_default();
    let mut parts = Parts::default();
    // The first line of each stream may have begun before.
    let mut whole = [start == 0; 2];
    let mut lines = Vec::new();
    for entry in text.split(|byte| *byte == b'\n').filter_map(parse) {
        let Some(line) = parts.join(&entry, 0) else { continue };
        if std::mem::replace(&mut whole[usize::from(entry.stream == Stream::Stderr)], true) {
            lines.push(scrubber.scrub(line, MAX_LINE, |_| {}).chars().take(LENGTH).collect());
        }
    }
    lines.split_off(lines.len().saturating_sub(count))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const TIME: &str = "2026-11-21T06:04:02.910743625+00:00";

    fn write(path: &Path, entries: &[&str]) {
        let mut file = File::options().create(true).append(true).open(path).expect("open");
        for entry in entries {
            file.write_all(entry.as_bytes()).expect("write");
        }
    }

    fn texts(lines: &[LogLine]) -> Vec<(i64, String)> {
        lines.iter().map(|line| (line.seq, line.text.clone())).collect()
    }

    fn numbered(lines: &[(i64, &str)]) -> Vec<(i64, String)> {
        lines.iter().map(|(seq, text)| (*seq, (*text).to_owned())).collect()
    }

    #[test]
    fn parts_are_joined_and_half_entries_wait() {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("ctr.log");
        let mut reader = Reader::new(path.clone(), Position::default());
        assert_eq!(reader.read().expect("no file yet"), []);
        write(
            &path,
            &[&format!("{TIME} stdout P one, \n{TIME} stderr F err\n{TIME} stdout F two\n{TIME} stdo")],
        );
        assert_eq!(texts(&reader.read().expect("read")), numbered(&[(1, "err"), (2, "one, two")]));
        write(&path, &["ut F three\n"]);
        assert_eq!(texts(&reader.read().expect("read")), numbered(&[(3, "three")]));
    }

    #[test]
    fn numbers_go_on_after_a_restart_of_the_agent_and_in_a_new_file() {
        let folder = tempfile::tempdir().expect("temp dir");
        let (path, memory) = (folder.path().join("ctr.log"), folder.path().join("position.json"));
        write(&path, &[&format!("{TIME} stdout F one\n")]);
        let mut reader = Reader::new(path.clone(), Position::load(&memory));
        assert_eq!(reader.read().expect("read").len(), 1);
        reader.position.save(&memory).expect("save");

        write(&path, &[&format!("{TIME} stdout F two\n")]);
        let mut reader = Reader::new(path.clone(), Position::load(&memory));
        assert_eq!(texts(&reader.read().expect("read")), numbered(&[(2, "two")]));
        // As conmon does at the size limit: a new file takes the name.
        let fresh = folder.path().join("fresh");
        write(&fresh, &[&format!("{TIME} stdout F three\n")]);
        std::fs::rename(&fresh, &path).expect("rename");
        assert_eq!(texts(&reader.read().expect("read")), numbered(&[(3, "three")]));
    }

    #[test]
    fn a_removed_container_is_read_to_its_end() {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("ctr.log");
        write(&path, &[&format!("{TIME} stdout F one\n")]);
        let mut reader = Reader::new(path.clone(), Position::default());
        reader.read().expect("read");
        write(&path, &[&format!("{TIME} stdout F last words\n")]);
        std::fs::remove_file(&path).expect("remove");
        assert_eq!(texts(&reader.read().expect("read")), numbered(&[(2, "last words")]));
        assert!(reader.is_over());
    }

    #[test]
    fn a_line_is_whole_though_the_agent_restarts_between_its_parts() {
        let folder = tempfile::tempdir().expect("temp dir");
        let (path, memory) = (folder.path().join("ctr.log"), folder.path().join("position.json"));
        let half = format!("{TIME} stdout F zero\n{TIME} stdout P hunter2-\n{TIME} stderr F other\n");
        write(&path, &[&half, &format!("{TIME} stderr P more \n")]);
        let mut reader = Reader::new(path.clone(), Position::default());
        assert_eq!(texts(&reader.read().expect("read")), numbered(&[(1, "zero"), (2, "other")]));
        reader.position.save(&memory).expect("save");
        write(&path, &[&format!("{TIME} stdout F hunter2\n{TIME} stderr F words\n")]);
        let mut reader = Reader::new(path.clone(), Position::load(&memory));
        let lines = reader.read().expect("read");
        assert_eq!(texts(&lines), numbered(&[(3, "hunter2-hunter2"), (4, "more words")]));
        assert_eq!(reader.position.begun, None);
    }

    #[test]
    fn a_value_in_parts_is_not_in_the_tail_either() {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("ctr.log");
        let known = Scrubber::new(&[("A".to_owned(), "hunter2-hunter2".to_owned())].into());
        write(&path, &[&format!("{TIME} stdout P a hunter2-\n{TIME} stdout F hunter2\n")]);
        assert_eq!(tail(&path, 2, &known), ["a [A]"]);
        // Of a long log only the end is read, which may begin between the parts.
        let (filler, end) = ("x".repeat(70 << 10), format!("{TIME} stdout F hunter2\n{TIME} stdout F end\n"));
        write(&path, &[&format!("{TIME} stdout P {filler}hunter2-\n"), &end]);
        assert_eq!(tail(&path, 2, &known), ["end"]);
    }

    #[test]
    fn the_tail_has_the_last_lines_without_their_times() {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("ctr.log");
        let none = Scrubber::default();
        assert!(tail(&path, 2, &none).is_empty());
        let entries: Vec<String> = (0..5).map(|number| format!("{TIME} stderr F line {number}\n")).collect();
        write(&path, &entries.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(tail(&path, 2, &none), ["line 3", "line 4"]);
    }
}
