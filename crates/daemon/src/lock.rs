//! A state folder has one owner at a time: the agent that runs with it, or the command that takes it apart.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Name of the file in the folder.
pub const FILE: &str = "agent.lock";

/// Held until it is dropped; the kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not used")] Flock<File>);

/// A program that the former owner was about to start when it was killed has the lock, too, until it runs.
const PATIENCE: Duration = Duration::from_secs(1);

/// Takes the folder, which is made if need be. `None` when another process has it. Blocks, for a second at most.
pub fn take(folder: &Path) -> io::Result<Option<Lock>> {
    std::fs::create_dir_all(folder)?;
    let mut file =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(folder.join(FILE))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(Lock(lock))),
            Err((again, Errno::EWOULDBLOCK)) if Instant::now() < deadline => file = again,
            Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, error)) => return Err(error.into()),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_until_it_lets_go() {
        let folder = tempfile::tempdir().expect("temp dir");
        let folder = folder.path().join("state");
        let owner = take(&folder).expect("accessible");
        assert!(owner.is_some());
        assert!(take(&folder).expect("accessible").is_none());
        drop(owner);
        assert!(take(&folder).expect("accessible").is_some());
    }
}
