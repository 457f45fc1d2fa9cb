//! The files of one job.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use protocol::ids::JobId;
use protocol::job::{BuildSecrets, Outcome};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::JobFile;
use super::process::Process;

#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// The file of what `job.json` does not have.
    pub(super) const SECRETS: &str = "secrets.json";

    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Makes the folder and `job.json`; `false` when the job is known already.
    pub(super) fn create(&self, job: &JobFile, secrets: &BuildSecrets) -> io::Result<bool> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        if self.path("job.json").exists() {
            return Ok(false);
        }
        self.write(Self::SECRETS, secrets)?;
        self.write("job.json", job)?;
        Ok(true)
    }

    /// All jobs below `jobs`, oldest first.
    pub(super) fn all(jobs: &Path) -> io::Result<Vec<(JobId, Self)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(jobs)? {
            let entry = entry?;
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            found.push((id, Self(entry.path())));
        }
        found.sort_by_key(|(id, _)| *id);
        Ok(found)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn root(&self) -> &Path {
        &self.0
    }

    pub(super) fn job(&self) -> io::Result<Option<JobFile>> {
        self.read("job.json")
    }

    pub(super) fn secrets(&self) -> io::Result<BuildSecrets> {
        self.read(Self::SECRETS).map(Option::unwrap_or_default)
    }

    /// Records the calling process as the one that does the job; `false` when there is one already.
    pub(super) fn claim(&self) -> io::Result<bool> {
        let process = serde_json::to_vec(&Process::current()?).map_err(io::Error::other)?;
        let path = self.path("process.json");
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(mut file) => file.write_all(&process).and_then(|()| file.sync_all()).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// `None` before the process has started.
    pub(super) fn process(&self) -> Option<Process> {
        self.read("process.json").ok().flatten()
    }

    pub(super) fn outcome(&self) -> io::Result<Option<Outcome>> {
        self.read("outcome.json")
    }

    pub(super) fn finish(&self, outcome: &Outcome) -> io::Result<()> {
        self.write("outcome.json", outcome)
    }

    pub(super) fn mark_cancelled(&self) -> io::Result<()> {
        self.write("cancelled", &true)
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.path("cancelled").exists()
    }

    /// Bytes of the log that were acknowledged.
    pub(super) fn acked(&self) -> u64 {
        self.read("acked").ok().flatten().unwrap_or(0)
    }

    pub(super) fn set_acked(&self, offset: u64) -> io::Result<()> {
        self.write("acked", &offset)
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        std::fs::remove_dir_all(&self.0)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        match std::fs::read(self.path(name)) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_vec(value).map_err(io::Error::other)?;
        daemon::file::replace(&self.path(name), &text, 0o600)
    }
}
