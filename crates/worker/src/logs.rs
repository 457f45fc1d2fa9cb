//! The apps' output: reads Podman's log files (k8s-file: one line per entry, `TIME STREAM F|P TEXT`) and delivers
//! them. The file is the buffer: while the control plane is away or slow nothing is read, and nothing is lost until
//! Podman begins a new file.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use protocol::ids::{AppId, InstanceId};
use protocol::message::FromAgent;
use protocol::report::{InstanceLog, LogLine, Stream};
use serde::{Deserialize, Serialize};

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
) -> io::Result<()> {
    std::fs::create_dir_all(positions)?;
    let memory = positions.join(format!("{}.json", owner.instance_id));
    let mut reader = Reader::new(path, Position::load(&memory));
    loop {
        let lines = reader.read()?;
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
    /// Beginnings of lines that Podman cut: standard output, standard error.
    parts: [Vec<u8>; 2],
}

impl Reader {
    fn new(path: PathBuf, position: Position) -> Self {
        Self { path, file: None, position, parts: [Vec::new(), Vec::new()] }
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
            self.position.offset += length as u64;
            if let Some(line) = self.take(&entry) {
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
                self.position = Position { inode: found.ino(), offset: 0, seq: self.position.seq };
            }
            file.seek(SeekFrom::Start(self.position.offset))?;
            self.file = Some(BufReader::new(file));
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
        let Entry { at, stream, partial, text } = parse(entry)?;
        let part = &mut self.parts[usize::from(stream == Stream::Stderr)];
        let room = MAX_LINE - part.len();
        part.extend_from_slice(&text[..text.len().min(room)]);
        if partial {
            return None;
        }
        self.position.seq += 1;
        Some(LogLine { seq: self.position.seq, at, stream, text: clean(&std::mem::take(part)) })
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
pub(crate) fn tail(path: &Path, count: usize) -> Vec<String> {
    const BYTES: u64 = 64 * 1024;
    const LENGTH: usize = 1000;
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(file.metadata()?.len().saturating_sub(BYTES)))?;
        let mut text = Vec::new();
        file.take(BYTES).read_to_end(&mut text)?;
        Ok(text)
    };
    let text = read().unwrap_or_default();
    let lines = text.split(|byte| *byte == b'\n').filter_map(parse);
    let lines: Vec<String> = lines.map(|entry| clean(entry.text).chars().take(LENGTH).collect()).collect();
    lines[lines.len().saturating_sub(count)..].to_vec()
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
    fn the_tail_has_the_last_lines_without_their_times() {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("ctr.log");
        assert!(tail(&path, 2).is_empty());
        let entries: Vec<String> = (0..5).map(|number| format!("{TIME} stderr F line {number}\n")).collect();
        write(&path, &entries.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(tail(&path, 2), ["line 3", "line 4"]);
    }
}
