//! What keeps an instance apart from its host and its neighbours, where its app says so. Left out of a spec that says
//! nothing, so that what other containers are made from stays as it was.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Beside [`super::Resources`], which every instance has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct Isolation {
    /// Nothing can be written but to memory: to `/tmp`, `/var/tmp`, `/run` and the folders in `tmpfs`.
    pub read_only: bool,
    /// Folders in memory, each `PATH=MIB`. What is in them counts as memory of the instance, and is gone with it.
    #[cfg_attr(feature = "control-plane", schema(value_type = Vec<String>))]
    pub tmpfs: Vec<Tmpfs>,
    /// MiB that the instance may write to its own disk, which is gone with it.
    pub disk_mb: Option<u32>,
    /// Mbit/s that leave the instance, answers to its visitors among them.
    pub egress_mbit: Option<u32>,
    /// Mbit/s that reach the instance.
    pub ingress_mbit: Option<u32>,
}

/// MiB of each folder in memory that comes with a read-only root.
const IMPLIED_MB: u32 = 64;
const IMPLIED: [&str; 3] = ["/tmp", "/var/tmp", "/run"];
/// MiB of one folder in memory.
const MOST_MB: u32 = 65_536;

impl Isolation {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// All folders in memory, those among them that a read-only root brings and the app does not name.
    pub fn folders(&self) -> Vec<Tmpfs> {
        let named = |path: &str| self.tmpfs.iter().any(|folder| folder.path == path);
        let implied = IMPLIED.iter().filter(|path| self.read_only && !named(path));
        let implied = implied.map(|path| Tmpfs { path: (*path).to_owned(), size_mb: IMPLIED_MB });
        implied.chain(self.tmpfs.iter().cloned()).collect()
    }
}

/// A folder in memory, written `/var/cache=64`. Its path can be handed to anything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tmpfs {
    path: String,
    size_mb: u32,
}

impl Tmpfs {
    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn size_mb(&self) -> u32 {
        self.size_mb
    }
}

impl TryFrom<String> for Tmpfs {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = |problem: &str| {
            format!(
                "`{}` is no folder in memory such as /var/cache=64 (path and MiB): {problem}",
                text.escape_debug()
            )
        };
        let (path, size) = text.split_once('=').ok_or_else(|| wrong("it has no `=` and size"))?;
        let size_mb = size.parse().ok().filter(|size| (1..=MOST_MB).contains(size));
        let size_mb = size_mb.ok_or_else(|| wrong("the size must be a whole number from 1 to 65536"))?;
        check_path(path).map_err(wrong)?;
        Ok(Self { path: path.to_owned(), size_mb })
    }
}

fn check_path(path: &str) -> Result<(), &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let Some(inside) = path.strip_prefix('/').filter(|inside| !inside.is_empty() && path.len() <= 200) else {
        return Err("the path must begin with `/`, be more than that and have at most 200 characters");
    };
    if !path.bytes().all(plain) {
        return Err("the path may only have letters, digits, `/`, `.`, `_` and `-`");
    }
    if inside.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("the path must have no empty part, no `.` and no `..`");
    }
    if matches!(inside.split('/').next(), Some("proc" | "sys" | "dev")) {
        return Err("/proc, /sys and /dev are the kernel's");
    }
    Ok(())
}

impl From<Tmpfs> for String {
    fn from(folder: Tmpfs) -> Self {
        folder.to_string()
    }
}

impl fmt::Display for Tmpfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.path, self.size_mb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Tmpfs, String> {
        Tmpfs::try_from(text.to_owned())
    }

    #[test]
    fn a_folder_in_memory_is_read_as_it_is_written() {
        let folder = read("/var/cache/nginx=64").expect("valid");
        assert_eq!((folder.path(), folder.size_mb()), ("/var/cache/nginx", 64));
        assert_eq!(folder.to_string(), "/var/cache/nginx=64");
    }

    #[test]
    fn what_could_mean_something_else_to_the_kernel_or_podman_is_no_folder() {
        for (text, word) in [
            ("/a", "no `=`"),
            ("/a=0", "1 to 65536"),
            ("/a=65537", "1 to 65536"),
            ("/a=4g", "1 to 65536"),
            ("a=1", "begin with"),
            ("/=1", "begin with"),
            ("=1", "begin with"),
            ("/a/../etc=1", "`..`"),
            ("/a//b=1", "empty part"),
            ("/a/=1", "empty part"),
            ("/a,exec=1", "may only have"),
            ("/a:exec=1", "may only have"),
            ("/a b=1", "may only have"),
            ("/proc=1", "kernel's"),
            ("/sys/fs=1", "kernel's"),
            ("/dev/shm=1", "kernel's"),
        ] {
            let problem = read(text).expect_err(text);
            assert!(problem.contains(word), "{text}: {problem}");
        }
    }

    #[test]
    fn it_is_sent_as_words_and_numbers_and_what_is_absent_is_the_default() {
        let isolation = Isolation {
            read_only: true,
            tmpfs: vec![read("/data=8").expect("valid")],
            egress_mbit: Some(16),
            ..Isolation::default()
        };
        let text = serde_json::to_string(&isolation).expect("json");
        let form =
            r#"{"read_only":true,"tmpfs":["/data=8"],"disk_mb":null,"egress_mbit":16,"ingress_mbit":null}"#;
        assert_eq!(text, form);
        let part = r#"{"read_only":true,"tmpfs":["/data=8"],"egress_mbit":16}"#;
        assert_eq!(serde_json::from_str::<Isolation>(part).expect("readable"), isolation);
        assert!(serde_json::from_str::<Isolation>(r#"{"tmpfs":["/dev/x=8"]}"#).is_err());
    }

    #[test]
    fn a_read_only_root_brings_folders_to_write_to_unless_the_app_names_them() {
        let of = |isolation: &Isolation| {
            isolation.folders().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let tmpfs = vec![read("/run=4").expect("valid"), read("/data=8").expect("valid")];
        let mut isolation = Isolation { tmpfs, ..Isolation::default() };
        assert_eq!(of(&isolation), "/run=4 /data=8");
        isolation.read_only = true;
        assert_eq!(of(&isolation), "/tmp=64 /var/tmp=64 /run=4 /data=8");
        assert_eq!(of(&Isolation::default()), "");
    }
}
