use std::io::Write as _;

use super::*;

struct Made<'a> {
    path: &'a str,
    kind: EntryType,
    link: &'a str,
    size: usize,
}

fn entry<'a>(path: &'a str, kind: EntryType, link: &'a str) -> Made<'a> {
    Made { path, kind, link, size: if kind == EntryType::Regular { 3 } else { 0 } }
}

/// Names go into the header as they are, because the library refuses to write bad ones.
fn archive(entries: &[Made<'_>]) -> tempfile::NamedTempFile {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    {
        let mut builder = tar::Builder::new(&mut gzip);
        for made in entries {
            let mut header = tar::Header::new_gnu();
            let old = header.as_old_mut();
            old.name[..made.path.len()].copy_from_slice(made.path.as_bytes());
            old.linkname[..made.link.len()].copy_from_slice(made.link.as_bytes());
            header.set_entry_type(made.kind);
            header.set_mode(0o755);
            header.set_size(made.size as u64);
            header.set_cksum();
            builder.append(&header, vec![b'x'; made.size].as_slice()).expect("append");
        }
        builder.finish().expect("finish");
    }
    let mut file = tempfile::NamedTempFile::new().expect("temp file");
    file.write_all(&gzip.finish().expect("gzip")).expect("write");
    file
}

fn unpacked(entries: &[Made<'_>]) -> (tempfile::TempDir, Result<(), Box<Failure>>) {
    let outer = tempfile::tempdir().expect("temp dir");
    let root = outer.path().join("root");
    std::fs::create_dir(&root).expect("root");
    let result = unpack(archive(entries).path(), &root, 1000);
    (outer, result)
}

#[test]
fn evil_archives_are_refused_by_the_name_of_their_entry() {
    use EntryType as E;
    let dir = || entry("a", E::Directory, "");
    let cases: Vec<(&str, Vec<Made<'_>>)> = vec![
        ("/etc/x", vec![entry("/etc/x", E::Regular, "")]),
        ("../x", vec![entry("../x", E::Regular, "")]),
        ("a/../../x", vec![entry("a/../../x", E::Regular, "")]),
        ("dev", vec![entry("dev", E::Char, "")]),
        ("disk", vec![entry("disk", E::Block, "")]),
        ("pipe", vec![entry("pipe", E::Fifo, "")]),
        ("up", vec![entry("up", E::Symlink, "..")]),
        ("abs", vec![entry("abs", E::Symlink, "/etc/passwd")]),
        ("a/l", vec![dir(), entry("a/l", E::Symlink, "../../x")]),
        ("a/l", vec![dir(), entry("a/l", E::Symlink, "b/../../../x")]),
        ("l/x", vec![dir(), entry("l", E::Symlink, "a"), entry("l/x", E::Regular, "")]),
        ("l", vec![dir(), entry("l", E::Symlink, "a"), entry("l", E::Regular, "")]),
        ("hard", vec![entry("hard", E::Link, "../x")]),
        ("hard", vec![entry("hard", E::Link, "/etc/passwd")]),
        ("hard", vec![entry("l", E::Symlink, "a"), entry("hard", E::Link, "l")]),
    ];
    for (name, entries) in cases {
        let (outer, result) = unpacked(&entries);
        let failure = result.expect_err(name);
        assert_eq!(failure.code, "archive_unsafe", "{name}");
        assert!(failure.message.contains(&format!("`{name}`")), "{}", failure.message);
        assert!(!outer.path().join("x").exists(), "{name} wrote outside");
    }
}

#[test]
fn honest_archives_are_unpacked_with_their_links() {
    use EntryType as E;
    let (outer, result) = unpacked(&[
        entry("./", E::Directory, ""),
        entry("./a/", E::Directory, ""),
        entry("./a/file", E::Regular, ""),
        entry("a/near", E::Symlink, "file"),
        entry("a/up", E::Symlink, "../a/file"),
        entry("hard", E::Link, "a/file"),
    ]);
    result.expect("unpacked");
    for name in ["a/file", "a/near", "a/up", "hard"] {
        assert_eq!(std::fs::read(outer.path().join("root").join(name)).expect(name), b"xxx", "{name}");
    }
}

#[test]
fn an_archive_over_the_limit_is_refused_before_it_fills_the_disk() {
    let large = Made { path: "large", kind: EntryType::Regular, link: "", size: 600 };
    let second = Made { path: "second", kind: EntryType::Regular, link: "", size: 600 };
    let (outer, result) = unpacked(&[large, second]);
    let failure = result.expect_err("too large");
    assert_eq!(failure.code, "source_too_large");
    assert!(failure.message.contains("`second`"), "{}", failure.message);
    assert!(!outer.path().join("root/second").exists());
}

#[test]
fn what_is_no_archive_is_said_to_be_damaged() {
    let mut file = tempfile::NamedTempFile::new().expect("temp file");
    file.write_all(b"PK\x03\x04 not gzip").expect("write");
    let root = tempfile::tempdir().expect("temp dir");
    assert_eq!(unpack(file.path(), root.path(), 1000).expect_err("damaged").code, "archive_damaged");
}
