//! What a cluster made on this machine, written down before it is made (a process: before it does anything), so that
//! it can be taken away from this file alone, whoever died in between. Nothing is ever removed by a name pattern.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::cgroup;
use crate::process::ProcessId;

const FILE: &str = "journal.jsonl";

/// One thing that must be gone in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// A process; with it end the namespaces, interfaces and mounts that only it held.
    Process { what: String, id: ProcessId },
    /// A group of this name in every cgroup hierarchy.
    Cgroup { name: String },
    /// A folder that belongs to this cluster alone.
    Folder { path: PathBuf },
}

/// The journal of the cluster in one state folder.
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// The journal in `state`, which need not exist yet.
    pub fn in_folder(state: &Path) -> Self {
        Self { path: state.join(FILE) }
    }

    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Appends one line. Lines of processes that write at the same time do not mix.
    pub fn record(&self, record: &Record) -> Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        file.write_all(&line).with_context(|| format!("cannot write {}", self.path.display()))
    }

    pub fn records(&self) -> Result<Vec<Record>> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => file.with_context(|| format!("cannot read {}", self.path.display()))?,
        };
        let mut records = Vec::new();
        for line in BufReader::new(file).lines() {
            // A line cut off by a crash was written before its thing was made, so there is nothing behind it.
            if let Ok(record) = serde_json::from_str(&line?) {
                records.push(record);
            }
        }
        Ok(records)
    }

    /// Takes everything away: processes, groups, folders, in this order. Can be repeated.
    pub fn tear_down(&self) -> Result<()> {
        let records = self.records()?;
        end_processes(&records)?;
        for record in &records {
            if let Record::Cgroup { name } = record {
                cgroup::remove(name)?;
            }
        }
        for record in records.iter().rev() {
            if let Record::Folder { path } = record {
                match fs::remove_dir_all(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(error).with_context(|| format!("cannot remove {}", path.display()));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn end_processes(records: &[Record]) -> Result<()> {
    let processes = || {
        records.iter().rev().filter_map(|record| match record {
            Record::Process { what, id } => Some((what, *id)),
            _ => None,
        })
    };
    for (what, id) in processes() {
        id.kill().with_context(|| format!("cannot end {what} (process {})", id.pid))?;
    }
    for (what, id) in processes() {
        ensure!(id.wait_end(Duration::from_secs(10)), "{what} (process {}) does not end", id.pid);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn tear_down_ends_recorded_processes_and_removes_recorded_folders_only() {
        let folder = tempfile::tempdir().expect("temp dir");
        let (mine, others) = (folder.path().join("mine"), folder.path().join("others"));
        fs::create_dir(&others).expect("mkdir");
        fs::create_dir(&mine).expect("mkdir");
        let journal = Journal::in_folder(&mine);
        journal.record(&Record::Folder { path: mine.clone() }).expect("record");
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
        let id = ProcessId::of(i32::try_from(child.id()).expect("pid")).expect("stat");
        journal.record(&Record::Process { what: "sleep".to_owned(), id }).expect("record");
        let mut torn = OpenOptions::new().append(true).open(mine.join(FILE)).expect("open");
        torn.write_all(b"{\"process\":{\"wh").expect("write");

        journal.tear_down().expect("tear down");
        assert!(!child.wait().expect("wait").success());
        assert!(!mine.exists() && others.exists());
        journal.tear_down().expect("again");
    }
}
