//! Files into and out of instances, over the requests that the control plane makes.

use std::io::Read as _;

use protocol::files::{FilesTicket, Way};
use protocol::identity::{ApiKey, SigningKey};
use protocol::ids::InstanceId;
use protocol::report::InstanceState;
use protocol::spec::Probe;
use reqwest::{Method, Response};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::tickets::TicketKeys;

use crate::support::{ControlPlane, MESH, on_a_host};
use crate::{SERVER, instance, podman, reported, run_instances};

const PORT: u16 = 8090;

struct Worker {
    key: SigningKey,
    instance: InstanceId,
    http: reqwest::Client,
}

impl Worker {
    async fn ask(&self, way: Way, path: &str, sealed: &str, body: Vec<u8>) -> Response {
        let ticket = FilesTicket { instance: self.instance, way, path: sealed }.seal(i64::MAX, &self.key);
        let method = if way == Way::Out { Method::GET } else { Method::PUT };
        let url = format!("http://{MESH}:{PORT}/v1/instances/{}/files?path={path}", self.instance);
        self.http.request(method, url).bearer_auth(ticket).body(body).send().await.expect("answer")
    }

    async fn kind(&self, path: &str) -> String {
        let ticket = FilesTicket { instance: self.instance, way: Way::Out, path }.seal(i64::MAX, &self.key);
        let url = format!("http://{MESH}:{PORT}/v1/instances/{}/files/kind?path={path}", self.instance);
        let answer = self.http.get(url).bearer_auth(ticket).send().await.expect("answer");
        answer.json().await.expect("a word")
    }

    async fn read(&self, path: &str) -> Response {
        self.ask(Way::Out, path, path, Vec::new()).await
    }

    async fn write(&self, path: &str, tar: Vec<u8>) -> Response {
        self.ask(Way::In, path, path, tar).await
    }
}

fn tar_of(name: &str, content: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o640);
    builder.append_data(&mut header, name, content.as_bytes()).expect("append");
    builder.into_inner().expect("tar")
}

/// Path and content of each entry.
fn entries(tar: &[u8]) -> Vec<(String, String)> {
    let mut archive = tar::Archive::new(tar);
    let read = archive.entries().expect("entries").map(|entry| {
        let mut entry = entry.expect("entry");
        let mut content = String::new();
        entry.read_to_string(&mut content).expect("content");
        (entry.path().expect("path").display().to_string(), content)
    });
    read.collect()
}

#[test]
fn files_go_in_and_come_out_of_an_instance_that_serves() {
    on_a_host("files::files_go_in_and_come_out_of_an_instance_that_serves", async {
        let wanted = instance(20001, SERVER, Probe::default()).await;
        let id = wanted.id;
        let control_plane = ControlPlane::default();
        let _instances = run_instances(&control_plane, vec![wanted]).await;
        reported(&control_plane, id, "healthy", |i| i.state == InstanceState::Healthy).await;
        let key = ApiKey::generate().signing_key();
        let router = worker::files::router(podman(), TicketKeys::new(key.clone()));
        let mut server = JoinSet::new();
        let listener = worker::serve::listen(MESH, PORT).expect("listen");
        server.spawn(worker::serve::serve(listener, router, CancellationToken::new()));
        let http = reqwest::Client::builder().no_proxy().build().expect("client");
        let worker = Worker { key, instance: id, http };

        assert_eq!(worker.write("/tmp", tar_of("new.txt", "from outside")).await.status(), 204);
        let answer = worker.read("/tmp/new.txt").await;
        assert_eq!(answer.status(), 200);
        let tar = answer.bytes().await.expect("tar");
        assert_eq!(entries(&tar), [("new.txt".to_owned(), "from outside".to_owned())]);
        let folder = worker.read("/tmp").await.bytes().await.expect("tar");
        let names: Vec<String> = entries(&folder).into_iter().map(|(name, _)| name).collect();
        assert!(names.iter().any(|name| name.trim_start_matches('/') == "tmp/new.txt"), "{names:?}");

        for (path, kind) in [("/tmp", "folder"), ("/tmp/new.txt", "file"), ("/nothing/here", "absent")] {
            assert_eq!(worker.kind(path).await, kind, "{path}");
        }
        assert_eq!(worker.read("/nothing/here").await.status(), 404);
        assert_eq!(worker.write("/nothing/here", tar_of("x", "y")).await.status(), 404);
        assert_eq!(worker.kind("/nothing").await, "absent", "nothing is made on the way");
        assert_eq!(worker.write("/tmp/new.txt", tar_of("x", "y")).await.status(), 422);
        let over = worker.write("/", tar_of("tmp", "a file over a folder")).await;
        assert!(over.status().is_client_error(), "{}", over.status());
        assert_eq!(worker.ask(Way::Out, "/etc", "/tmp", Vec::new()).await.status(), 401, "another path");
        let nowhere = Worker { instance: InstanceId::new(), ..worker };
        assert_eq!(nowhere.read("/tmp").await.status(), 409);
    });
}
