//! The source as a detector sees it.

use std::collections::BTreeSet;

/// Largest file that is read for what it says.
pub(crate) const READ_AT_MOST: usize = 256 * 1024;

/// The names of a source's files, and how to read one.
pub struct Files<'a> {
    /// Relative, with `/`.
    paths: BTreeSet<String>,
    /// Everything is below this folder: empty, or ending in `/`.
    base: String,
    read: &'a dyn Fn(&str) -> Option<String>,
}

impl std::fmt::Debug for Files<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("base", &self.base).field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl<'a> Files<'a> {
    /// `paths` are relative to the source's root; `read` gives the text of one of them. What lies deeper than three
    /// folders tells nothing and may be left out.
    pub fn new(paths: impl IntoIterator<Item = String>, read: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { paths: paths.into_iter().collect(), base: String::new(), read }
    }

    /// The same source seen from one of its folders.
    pub fn below(&self, folder: &str) -> Self {
        let base = folder.trim_start_matches("./").trim_matches('/');
        if base.is_empty() || base == "." {
            return Self { paths: self.paths.clone(), base: self.base.clone(), read: self.read };
        }
        let base = format!("{base}/");
        let paths =
            self.paths.iter().filter_map(|path| path.strip_prefix(&base)).map(str::to_owned).collect();
        Self { paths, base: format!("{}{base}", self.base), read: self.read }
    }

    pub fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// The text of a file that is there, if it is one of a size that people write.
    pub fn text(&self, path: &str) -> Option<String> {
        if !self.has(path) {
            return None;
        }
        (self.read)(&format!("{}{path}", self.base)).filter(|text| text.len() <= READ_AT_MOST)
    }

    /// The first of `paths` that is there.
    pub(crate) fn first<'p>(&self, paths: &[&'p str]) -> Option<&'p str> {
        paths.iter().copied().find(|path| self.has(path))
    }

    /// Those of `paths` that are there, in their order.
    pub(crate) fn present<'p>(&self, paths: &[&'p str]) -> Vec<&'p str> {
        paths.iter().copied().filter(|path| self.has(path)).collect()
    }

    pub(crate) fn has_folder(&self, name: &str) -> bool {
        let start = format!("{name}/");
        self.paths.range(start.clone()..).next().is_some_and(|path| path.starts_with(&start))
    }

    /// All paths, in the order of their names.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }

    /// Folders at the root, without hidden ones.
    pub(crate) fn folders(&self) -> Vec<String> {
        let tops: BTreeSet<&str> = self
            .paths
            .iter()
            .filter_map(|path| path.split_once('/'))
            .map(|(top, _)| top)
            .filter(|top| !top.starts_with('.') && *top != "node_modules")
            .collect();
        tops.into_iter().map(str::to_owned).collect()
    }

    /// What is at the root, in words.
    pub(crate) fn at_root(&self) -> String {
        const SHOWN: usize = 8;
        let mut names: Vec<String> = self.folders().into_iter().map(|folder| format!("{folder}/")).collect();
        names.extend(self.paths.iter().filter(|path| !path.contains('/')).cloned());
        match names.len() {
            0 => "no files".to_owned(),
            count if count <= SHOWN => names.join(", "),
            count => format!("{} and {} more", names[..SHOWN].join(", "), count - SHOWN),
        }
    }
}
