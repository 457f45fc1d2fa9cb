use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("temp dir");
    for (path, content) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("folders");
        std::fs::write(path, content).expect("write");
    }
    folder
}

fn names(folder: &tempfile::TempDir) -> Vec<String> {
    let manifest = Manifest::scan(folder.path(), None).expect("scan");
    manifest.entries.iter().map(|entry| entry.path.display().to_string()).collect()
}

fn bytes(folder: &tempfile::TempDir) -> Vec<u8> {
    let mut bytes = Vec::new();
    Manifest::scan(folder.path(), None).expect("scan").write(&mut bytes).expect("write");
    bytes
}

#[test]
fn the_same_content_gives_the_same_bytes() {
    let first = folder(&[("b.txt", "b"), ("a/x", "x"), ("a.txt", "a")]);
    let second = folder(&[("a.txt", "a"), ("a/x", "x"), ("b.txt", "b")]);
    let file = std::fs::File::options().write(true).open(second.path().join("b.txt")).expect("open");
    file.set_modified(SystemTime::now() - Duration::from_hours(24)).expect("set time");
    std::fs::set_permissions(second.path().join("a.txt"), PermissionsExt::from_mode(0o600)).expect("chmod");
    assert_eq!(bytes(&first), bytes(&second));
    std::fs::set_permissions(second.path().join("a.txt"), PermissionsExt::from_mode(0o700)).expect("chmod");
    assert_ne!(bytes(&first), bytes(&second), "being executable is content");
}

#[test]
fn the_archive_holds_what_the_folder_holds() {
    let source = folder(&[("Containerfile", "FROM scratch"), ("src/main", "main")]);
    symlink("main", source.path().join("src/link")).expect("link");
    let target = tempfile::tempdir().expect("temp dir");
    let bytes = bytes(&source);
    tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice())).unpack(target.path()).expect("unpack");
    assert_eq!(std::fs::read_to_string(target.path().join("src/link")).expect("read"), "main");
    assert_eq!(std::fs::read_to_string(target.path().join("Containerfile")).expect("read"), "FROM scratch");
}

#[test]
fn ignore_files_and_git_itself_are_honoured() {
    let source = folder(&[
        (".gitignore", "target\n*.log\n"),
        (".git/config", "secret"),
        ("sub/.git/config", "secret"),
        ("target/big", ""),
        ("a.log", ""),
        ("keep.log", ""),
        ("sub/b.log", ""),
        ("sub/.gitignore", "c"),
        ("sub/c", ""),
        ("src/main.rs", ""),
        (".env", ""),
        (".whignore", "!keep.log\n.env\n"),
    ]);
    assert_eq!(names(&source), [".gitignore", ".whignore", "keep.log", "src/main.rs", "sub/.gitignore"]);
}

#[test]
fn dockerignore_patterns_start_at_the_root_and_can_take_files_back() {
    let source = folder(&[
        (".dockerignore", "# all but\n*\n!src/\n!docs/read.me\nsrc/tmp\n**/*.bak\n"),
        ("Dockerfile", ""),
        ("other", ""),
        ("docs/read.me", ""),
        ("docs/more", ""),
        ("src/a", ""),
        ("src/other", ""),
        ("src/deep/x.bak", ""),
        ("src/tmp/x", ""),
    ]);
    assert_eq!(names(&source), [".dockerignore", "Dockerfile", "docs/read.me", "src/a", "src/other"]);
    let anchored = folder(&[(".dockerignore", "build\n"), ("build/x", ""), ("src/build/y", "")]);
    assert_eq!(names(&anchored), [".dockerignore", "src/build/y"]);
}

#[test]
fn a_containerfile_of_another_name_is_kept() {
    let source = folder(&[(".dockerignore", "*"), ("deploy/Web.containerfile", ""), ("x", "")]);
    let manifest = Manifest::scan(source.path(), Some("deploy/Web.containerfile")).expect("scan");
    assert!(manifest.contains("deploy/Web.containerfile"));
    assert!(!manifest.contains("x"));
}

#[test]
fn rules_of_the_repository_above_hold_below() {
    let source = folder(&[(".git/HEAD", ""), (".gitignore", "*.log\n"), ("app/a.log", ""), ("app/main", "")]);
    let manifest = Manifest::scan(&source.path().join("app"), None).expect("scan");
    assert!(manifest.contains("main") && !manifest.contains("a.log"));
}

#[test]
fn links_out_of_the_folder_and_pipes_are_left_out_and_said() {
    let source = folder(&[("a/file", "x")]);
    symlink("/etc/passwd", source.path().join("absolute")).expect("link");
    symlink("../../outside", source.path().join("a/climbs")).expect("link");
    symlink("../a", source.path().join("a/inside")).expect("link");
    symlink("x/../../..", source.path().join("a/hidden")).expect("link");
    nix::unistd::mkfifo(&source.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("pipe");
    let manifest = Manifest::scan(source.path(), None).expect("scan");
    assert!(manifest.contains("a/inside") && manifest.contains("a/file"));
    assert_eq!(manifest.files(), 2, "{manifest:?}");
    assert_eq!(manifest.skipped.len(), 4, "{:?}", manifest.skipped);
}

#[test]
fn a_file_that_becomes_a_link_or_shrinks_is_an_error() {
    let source = folder(&[("a", "long content")]);
    let manifest = Manifest::scan(source.path(), None).expect("scan");
    std::fs::write(source.path().join("a"), "short").expect("write");
    let error = manifest.write(io::sink()).expect_err("shrank");
    assert!(error.to_string().contains("a changed while it was read"), "{error}");
    std::fs::remove_file(source.path().join("a")).expect("remove");
    symlink("/etc/passwd", source.path().join("a")).expect("link");
    assert!(manifest.write(io::sink()).is_err());
}

#[test]
fn the_largest_are_summed_by_top_folder() {
    let source = folder(&[("big/a", "12345"), ("big/b", "12345"), ("file", "1234567"), ("small", "1")]);
    let manifest = Manifest::scan(source.path(), None).expect("scan");
    assert_eq!(manifest.largest(2), [("big/".to_owned(), 10), ("file".to_owned(), 7)]);
}
