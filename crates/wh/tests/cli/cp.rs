//! `wh cp`.

use std::io::Read as _;

use serde_json::json;

use crate::User;
use crate::mock::{Mock, Reply, bytes, json as reply};

fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, content.as_bytes()).expect("append");
    }
    builder.into_inner().expect("tar")
}

#[test]
fn files_come_out_of_an_instance_under_their_name_or_another() {
    let mock = Mock::start(vec![(
        "GET /apps/shop/files",
        bytes("application/x-tar", tar_of(&[("log/app.log", "one line\n"), ("log/old/app.log", "")])),
    )]);
    let user = User::new();
    let run = user.wh(&mock, &["cp", "shop:/var/log", "."]).succeeded();
    assert_eq!((run.out.as_str(), run.err.contains("2 files, ")), ("", true), "{run:?}");
    assert_eq!(user.file("log/app.log"), "one line\n");
    user.wh(&mock, &["cp", "shop:/var/log", "logs"]).succeeded();
    assert_eq!(user.file("logs/old/app.log"), "");
    user.wh(&mock, &["cp", "shop:/var/log/.", "logs/old"]).succeeded();
    assert_eq!(user.file("logs/old/app.log"), "one line\n");
    assert_eq!(mock.lines(), ["GET /apps/shop/files?path=%2Fvar%2Flog"; 3]);
}

fn there(kind: &str) -> Reply {
    reply(200, json!({ "instance": "i1", "kind": kind }))
}

#[test]
fn files_go_into_an_instance_and_keep_their_names_or_take_another() {
    let mock = Mock::start(vec![
        ("GET /apps/shop/files/kind", there("folder")),
        ("GET /apps/shop/files/kind", there("absent")),
        ("GET /apps/shop/files/kind", there("file")),
        ("PUT /apps/shop/files", reply(204, json!(null))),
    ]);
    let user = User::with_files(&[("conf/a.json", "{}"), ("run.sh", "#!/bin/sh\n")]);
    user.wh(&mock, &["cp", "conf", "shop:/etc"]).succeeded();
    user.wh(&mock, &["cp", "run.sh", "shop:/usr/local/bin/start"]).succeeded();
    let refused = user.wh(&mock, &["cp", "conf", "shop:/etc/passwd"]).failed(2);
    assert!(refused.err.contains("/etc/passwd is a file"), "{refused:?}");
    assert_eq!(
        mock.lines(),
        [
            "GET /apps/shop/files/kind?path=%2Fetc",
            "PUT /apps/shop/files?path=%2Fetc&instance=i1",
            "GET /apps/shop/files/kind?path=%2Fusr%2Flocal%2Fbin%2Fstart",
            "PUT /apps/shop/files?path=%2Fusr%2Flocal%2Fbin&instance=i1",
            "GET /apps/shop/files/kind?path=%2Fetc%2Fpasswd",
        ]
    );
    let names = |body: &[u8]| -> Vec<(String, String)> {
        let mut archive = tar::Archive::new(body);
        let read = archive.entries().expect("entries").map(|entry| {
            let mut entry = entry.expect("entry");
            let mut content = String::new();
            entry.read_to_string(&mut content).expect("content");
            (entry.path().expect("path").display().to_string(), content)
        });
        read.filter(|(_, content)| !content.is_empty()).collect()
    };
    let asked = mock.asked();
    assert_eq!(names(&asked[1].body), [("conf/a.json".to_owned(), "{}".to_owned())]);
    assert_eq!(names(&asked[3].body), [("start".to_owned(), "#!/bin/sh\n".to_owned())]);
}

#[test]
fn what_would_leave_the_target_is_refused() {
    let mut tar = tar_of(&[("data/xx/escaped", "theirs")]);
    // The library would not write it.
    tar[..15].copy_from_slice(b"data/../escaped");
    let sum: u32 = tar[..512]
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
        .sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mock = Mock::start(vec![("GET /apps/shop/files", bytes("application/x-tar", tar))]);
    let user = User::with_files(&[("safe/keep", "")]);
    let run = user.wh(&mock, &["cp", "shop:/data", "safe/copy"]).failed(1);
    assert!(run.err.contains("leads out of the copy"), "{run:?}");
    assert!(!user.work.path().join("safe/escaped").exists());
}

#[test]
fn both_ends_are_checked_before_anything_is_asked() {
    let mock = Mock::start(Vec::new());
    let user = User::new();
    for args in [
        ["a", "b"],
        ["shop:/a", "shop:/b"],
        ["shop:etc", "."],
        ["shop:/", "."],
        ["missing", "shop:/etc/"],
        ["shop:/etc", "no/folder"],
    ] {
        user.wh(&mock, &["cp", args[0], args[1]]).failed(2);
    }
    assert!(mock.lines().is_empty());
}
