//! Where files are copied from and to, and under which name.

pub(crate) mod unpack;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::failure::{Failure, Result};

/// One end of a copy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Here(PathBuf),
    /// `path` begins with `/`.
    There {
        app: String,
        path: String,
    },
}

impl Place {
    /// `APP:/PATH` is in an instance. A path of this host that looks like it is written `./APP:/PATH`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some((app, path)) if !app.is_empty() && !app.contains('/') => {
                if !path.starts_with('/') {
                    return Err(Failure::usage(format!("{text} names no absolute path in the instance"))
                        .hint(format!("write {app}:/{path}, or ./{text} for a file of this host")));
                }
                Ok(Self::There { app: app.to_owned(), path: path.to_owned() })
            }
            _ if text.is_empty() => Err(Failure::usage("an empty path names no file")),
            _ => Ok(Self::Here(PathBuf::from(text))),
        }
    }
}

/// What is at a path in an instance, as the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Folder,
    File,
    Absent,
}

/// What is copied: its path, and the name that it keeps; none for what is in a folder only, which is meant by `FOLDER/.`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Source<P> {
    pub(crate) path: P,
    pub(crate) name: Option<String>,
}

impl Source<String> {
    pub(crate) fn there(path: &str) -> Result<Self> {
        let (path, contents) = path.strip_suffix("/.").map_or((path, false), |folder| (folder, true));
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        if name.is_empty() || name == "." || name == ".." {
            return Err(Failure::usage(format!("{path}/ has no name of its own"))
                .hint("name a file or a folder below /"));
        }
        Ok(Self { name: (!contents).then(|| name.to_owned()), path: path.to_owned() })
    }
}

impl Source<PathBuf> {
    pub(crate) fn here(path: &Path) -> Result<Self> {
        let text = path.as_os_str().to_string_lossy();
        let contents = path.is_dir() && (text == "." || text.ends_with("/."));
        let full = path.canonicalize().map_err(|error| {
            Failure::usage(format!("there is no file or folder {}: {error}", path.display()))
        })?;
        let name = full.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        if name.is_none() && !contents {
            return Err(Failure::usage(format!("{} has no name to be copied under", path.display()))
                .hint(format!("write {}/. for what is in it", path.display())));
        }
        Ok(Self { path: full, name: name.filter(|_| !contents) })
    }

    /// The folder of an instance into which it goes, and under which name, by what is at `path` there; without a name
    /// it is what is in it that goes.
    pub(crate) fn target_there(&self, path: &str, found: Kind) -> Result<(String, String)> {
        let is_folder = self.path.is_dir();
        match found {
            Kind::Folder => Ok((path.to_owned(), self.name.clone().unwrap_or_default())),
            Kind::File if is_folder => Err(Failure::usage(format!(
                "{path} is a file in the instance, and {} is a folder",
                self.path.display()
            ))),
            Kind::Absent if path.ends_with('/') && !is_folder => {
                Err(Failure::usage(format!("there is no folder {path} in the instance"))
                    .hint("make it first with `wh exec … -- mkdir -p`, or leave out the / at the end"))
            }
            Kind::File | Kind::Absent => {
                let (folder, own) = path.trim_end_matches('/').rsplit_once('/').unwrap_or(("", path));
                Ok((if folder.is_empty() { "/" } else { folder }.to_owned(), own.to_owned()))
            }
        }
    }
}

/// Where a copy of something called `name` goes on this host: into a folder that is there, else to `path` itself.
pub(crate) fn target_here(path: &Path, name: Option<&str>) -> Result<PathBuf> {
    if path.is_dir() {
        return Ok(name.map_or_else(|| path.to_owned(), |name| path.join(name)));
    }
    let text = path.as_os_str().to_string_lossy();
    let missing = |folder: &str| {
        Failure::usage(format!("there is no folder {folder}")).hint("make it first, with `mkdir -p`")
    };
    if text.ends_with('/') {
        return Err(missing(&text));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match parent {
        Some(parent) if !parent.is_dir() => Err(missing(&parent.display().to_string())),
        _ => Ok(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_and_a_path_are_told_from_a_file() {
        let there = |app: &str, path: &str| Place::There { app: app.to_owned(), path: path.to_owned() };
        assert_eq!(Place::parse("shop:/etc/x:y").expect("there"), there("shop", "/etc/x:y"));
        assert_eq!(Place::parse("./shop:/etc").expect("here"), Place::Here("./shop:/etc".into()));
        assert_eq!(Place::parse("/a:b").expect("here"), Place::Here("/a:b".into()));
        assert!(Place::parse("shop:etc").is_err());
        assert!(Place::parse("").is_err());
    }

    #[test]
    fn what_goes_in_goes_into_a_folder_or_takes_the_name_that_was_given() {
        let folder = tempfile::tempdir().expect("temp dir");
        let here = folder.path().canonicalize().expect("path");
        std::fs::create_dir(here.join("conf")).expect("folder");
        std::fs::write(here.join("x"), "").expect("file");
        let target = |name: &str, path: &str, found| {
            let source = Source::here(&here.join(name)).expect("there");
            source.target_there(path, found).map_err(|failure| failure.message.clone())
        };
        let goes = |folder: &str, name: &str| Ok((folder.to_owned(), name.to_owned()));
        assert_eq!(target("x", "/tmp", Kind::Folder), goes("/tmp", "x"));
        assert_eq!(target("x", "/tmp/", Kind::Folder), goes("/tmp/", "x"));
        assert_eq!(target("x", "/tmp/y", Kind::Absent), goes("/tmp", "y"));
        assert_eq!(target("x", "/y", Kind::File), goes("/", "y"));
        assert!(target("x", "/tmp/y/", Kind::Absent).is_err());
        assert_eq!(target("conf", "/tmp", Kind::Folder), goes("/tmp", "conf"));
        assert_eq!(target("conf/.", "/tmp", Kind::Folder), goes("/tmp", ""));
        assert_eq!(target("conf", "/tmp/new/", Kind::Absent), goes("/tmp", "new"));
        assert_eq!(target("conf/.", "/tmp/new", Kind::Absent), goes("/tmp", "new"));
        assert!(target("conf", "/tmp/y", Kind::File).expect_err("no").contains("/tmp/y"));
        assert!(Source::here(&here.join("missing")).is_err());
    }

    #[test]
    fn what_comes_out_goes_into_a_folder_that_is_there() {
        let folder = tempfile::tempdir().expect("temp dir");
        let here = folder.path();
        assert_eq!(target_here(here, Some("x")).expect("into"), here.join("x"));
        assert_eq!(target_here(here, None).expect("its content"), here);
        assert_eq!(target_here(&here.join("new"), Some("x")).expect("as"), here.join("new"));
        assert!(target_here(&here.join("no/new"), Some("x")).is_err());
        assert!(target_here(Path::new(&format!("{}/no/", here.display())), Some("x")).is_err());
        let there = |path: &str| Source::there(path).map(|source| (source.path, source.name));
        assert_eq!(there("/var/log/").expect("name"), ("/var/log/".to_owned(), Some("log".to_owned())));
        assert_eq!(there("/var/log/.").expect("content"), ("/var/log".to_owned(), None));
        assert!(there("/").is_err() && there("/.").is_err() && there("/a/..").is_err());
    }
}
