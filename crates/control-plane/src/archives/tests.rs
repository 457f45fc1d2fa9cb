use std::io::Write;

use axum::body::Body;
use axum::http::Request;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::TryStreamExt;
use serde_json::json;
use sqlx::PgPool;
use tar::{Builder, EntryType, Header};

use super::check::{Refusal, check};
use super::store;
use crate::testing::{Answer, Client, TestApp};

/// One entry with exactly these bytes as its name, which a proper tool would refuse to write.
fn entry(kind: EntryType, name: &str, link: &str, content: &[u8]) -> (Header, Vec<u8>) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    (header, content.to_vec())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("write");
    encoder.finish().expect("finish")
}

fn archive(entries: &[(Header, Vec<u8>)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (header, content) in entries {
        builder.append(header, content.as_slice()).expect("append");
    }
    gzip(&builder.into_inner().expect("tar"))
}

fn file(name: &str) -> (Header, Vec<u8>) {
    entry(EntryType::Regular, name, "", b"x")
}

fn symlink(name: &str, target: &str) -> (Header, Vec<u8>) {
    entry(EntryType::Symlink, name, target, b"")
}

fn verdict(entries: &[(Header, Vec<u8>)]) -> Result<(), Refusal> {
    check(archive(entries).as_slice(), 1 << 20)
}

#[test]
fn usual_sources_pass() {
    let long = "a/".repeat(90) + "file";
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    builder.append_data(&mut header, &long, b"x".as_slice()).expect("long name");
    check(gzip(&builder.into_inner().expect("tar")).as_slice(), 1 << 20).expect("long names");
    verdict(&[
        entry(EntryType::Directory, "./", "", b""),
        file("./Containerfile"),
        entry(EntryType::Directory, "node_modules/.bin", "", b""),
        symlink("node_modules/.bin/tool", "../tool/cli.js"),
        entry(EntryType::Link, "copy", "Containerfile", b""),
    ])
    .expect("usual");
}

#[test]
fn entries_that_could_reach_out_are_refused_by_name() {
    for (entries, name) in [
        (vec![file("/etc/passwd")], "/etc/passwd"),
        (vec![file("../up")], "../up"),
        (vec![file("a/../../up")], "a/../../up"),
        (vec![symlink("l", "/etc")], "l"),
        (vec![symlink("l", "..")], "l"),
        (vec![symlink("a/l", "../../x")], "a/l"),
        (vec![symlink("d", "."), symlink("e", "d/..")], "e"),
        (vec![symlink("d", "."), symlink("d/e", "../x")], "d/e"),
        (vec![symlink("d", "sub"), file("d/x")], "d/x"),
        (vec![entry(EntryType::Link, "h", "/etc/passwd", b"")], "h"),
        (vec![entry(EntryType::Link, "h", "../x", b"")], "h"),
        (vec![entry(EntryType::Char, "null", "", b"")], "null"),
        (vec![entry(EntryType::Block, "sda", "", b"")], "sda"),
        (vec![entry(EntryType::Fifo, "pipe", "", b"")], "pipe"),
        (vec![entry(EntryType::GNULongName, "x", "", b"../long\0"), file("short")], "../long"),
        (vec![entry(EntryType::XHeader, "x", "", b"16 path=../long\n"), file("short")], "../long"),
    ] {
        match verdict(&entries) {
            Err(Refusal::Unsafe { name: found, .. }) => assert_eq!(found, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn what_is_no_gzipped_tar_is_refused() {
    let whole = archive(&[file("a")]);
    for bytes in [&b""[..], b"hello", &gzip(b"hello hello hello"), &gzip(b""), &whole[..whole.len() / 2]] {
        assert!(matches!(check(bytes, 1 << 20), Err(Refusal::NotGzipTar(_))), "{bytes:?}");
    }
}

#[test]
fn a_small_archive_that_unpacks_to_much_is_refused() {
    let bomb = archive(&[entry(EntryType::Regular, "zeros", "", &vec![0; 2 << 20])]);
    assert!(bomb.len() < 100_000);
    assert_eq!(check(bomb.as_slice(), 1 << 20), Err(Refusal::UnpacksTooLarge(1 << 20)));
    let name = archive(&[entry(EntryType::GNULongName, "x", "", &vec![b'a'; 2 << 20]), file("short")]);
    check(name.as_slice(), 1 << 30).expect_err("a name of megabytes");
}

async fn upload(client: &Client, token: &str, bytes: Vec<u8>) -> Answer {
    let request = Request::builder()
        .method("POST")
        .uri("/api/v1/apps/hello/archives")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/gzip");
    client.raw(request.body(Body::from(bytes)).expect("request")).await
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_upload_is_kept_whole_or_not_at_all(pool: PgPool) {
    let app = TestApp::with(pool, |config| config.limits.archive_bytes = 4 << 20).await;
    let owner = app.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    let token = owner.post("/api/v1/tokens", json!({ "name": "upload" })).await.expect(201);
    let token = token["token"].as_str().expect("token");

    let noise: Vec<u8> = (0..2_500_000).map(|_| rand::random()).collect();
    let bytes = archive(&[entry(EntryType::Regular, "noise", "", &noise)]);
    assert!(bytes.len() > 1 << 20, "more than one chunk");
    let made = upload(&owner, token, bytes.clone()).await.expect(201);
    assert_eq!(made["size_bytes"], bytes.len());
    let id = made["id"].as_str().expect("id").parse().expect("uuid");
    let chunks: Vec<bytes::Bytes> =
        store::stream(app.app.db.clone(), id).try_collect().await.expect("chunks");
    assert_eq!(chunks.concat(), bytes);

    let bad = upload(&owner, token, archive(&[file("../up")])).await.expect(422);
    assert_eq!(bad["code"], "archive_unsafe");
    assert!(bad["message"].as_str().expect("message").contains("../up"));
    assert_eq!(upload(&owner, token, b"hello".to_vec()).await.expect(422)["code"], "archive_not_gzip_tar");
    let large = upload(&owner, token, vec![0; (4 << 20) + 1]).await.expect(413);
    assert_eq!(large["code"], "archive_too_large");
    assert!(large["message"].as_str().expect("message").contains("4194304"));
    let left: i64 =
        sqlx::query_scalar("select count(*) from archives").fetch_one(&app.app.db).await.expect("count");
    assert_eq!(left, 1);

    let source = json!({ "source": { "type": "archive", "archive_id": made["id"] } });
    let deployment = owner.post("/api/v1/apps/hello/deployments", source).await.expect(202);
    let path = format!("/api/v1/deployments/{}/cancel", deployment["id"].as_str().expect("id"));
    owner.post(&path, json!({})).await.expect(202);
    let left: i64 =
        sqlx::query_scalar("select count(*) from archives").fetch_one(&app.app.db).await.expect("count");
    assert_eq!(left, 0, "nothing needs it any more");
}
