//! A real registry that asks for a name and a password, on the host of the test.

use std::time::Duration;

use protocol::job::RegistryLogin;
use protocol::registry::{CopyAction, CopyOrder, ImagePlace};
use protocol::spec::{ImageSpec, WorkerSpec};
use tokio::process::{Child, Command};

use crate::images::{Host, built, has, is_there, run};
use crate::support::{ControlPlane, on_a_host, state_dir};

const REGISTRY: &str = "198.51.100.20:5000";
const NAME: &str = "198.51.100.20:5000/team/hello:v1";
const PASSWORD: &str = "a-password-of-the-tests";
/// The password as htpasswd keeps it.
const ENTRY: &str = "reader:$2b$04$sy.Qf5zT7rDPeDL9x0jVmuR4lsouvxHHgT5EEh704VVrzqBHI9Q1.\n";

async fn registry() -> Child {
    let folder = state_dir().join("registry");
    std::fs::create_dir_all(&folder).expect("folder");
    let insecure = format!("[[registry]]\nlocation = \"{REGISTRY}\"\ninsecure = true\n");
    std::fs::write("/etc/containers/registries.conf", insecure).expect("write");
    std::fs::write(folder.join("htpasswd"), ENTRY).expect("write");
    let root = folder.display();
    let config = format!(
        "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {root}/data}}, delete: {{enabled: true}}}}\n\
         http: {{addr: \"{REGISTRY}\"}}\nauth: {{htpasswd: {{realm: tests, path: {root}/htpasswd}}}}\n"
    );
    std::fs::write(folder.join("registry.yml"), config).expect("write");
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(folder.join("registry.yml")).kill_on_drop(true);
    let registry = command.spawn().expect("docker-registry");
    for _ in 0..100 {
        if tokio::net::TcpStream::connect(REGISTRY).await.is_ok() {
            return registry;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the registry does not listen");
}

/// A control plane that tells where the image is and with what it is pulled.
fn telling(password: &str) -> ControlPlane {
    let login = RegistryLogin {
        host: REGISTRY.to_owned(),
        username: "reader".to_owned(),
        password: password.to_owned(),
    };
    let place = ImagePlace { reference: NAME.to_owned(), login: Some(login) };
    ControlPlane::with_archive(serde_json::to_vec(&[place]).expect("JSON"))
}

/// How the order ended: what stood in its way.
async fn ended(password: &str, image: &str, action: CopyAction) -> Option<String> {
    let order = CopyOrder { image_id: image.to_owned(), reference: NAME.to_owned(), action };
    let host = Host::with(telling(password), WorkerSpec { copies: vec![order], ..WorkerSpec::default() });
    let report = host.reported("the order's end", |report| !report.copies.is_empty()).await;
    report.copies[0].problem.clone()
}

#[test]
fn an_image_goes_to_a_registry_comes_back_from_it_and_leaves_it() {
    on_a_host("registry::an_image_goes_to_a_registry_comes_back_from_it_and_leaves_it", async {
        let _registry = registry().await;
        let id = built("hello:1", "FROM busybox\nRUN echo 1 > /one\n").await;
        let refused = ended("wrong", &id, CopyAction::Push).await.expect("refused");
        assert!(refused.contains("auth") && !refused.contains("wrong"), "{refused}");
        assert_eq!(ended(PASSWORD, &id, CopyAction::Push).await, None);

        run(&["rmi", "--force", &id]).await;
        assert!(!is_there(&id).await);
        let reference = "localhost/wisehosting/hello:1".to_owned();
        let image = ImageSpec { id: id.clone(), reference, sources: Vec::new() };
        let host = Host::with(telling(PASSWORD), WorkerSpec { images: vec![image], ..WorkerSpec::default() });
        host.reported("the image", |report| has(report, &id)).await;
        let names = crate::podman().image(&id).await.expect("podman").expect("image").repo_tags;
        assert!(names.len() == 1 && names[0].starts_with("localhost/wisehosting/received:"), "{names:?}");
        drop(host);

        let other = format!("sha256:{}", "0".repeat(64));
        let pull = ["pull", "--quiet", "--creds", &format!("reader:{PASSWORD}"), NAME];
        assert_eq!(ended(PASSWORD, &other, CopyAction::Remove).await, None);
        run(&pull).await;
        assert_eq!(ended(PASSWORD, &id, CopyAction::Remove).await, None);
        let pulled = Command::new("podman").args(pull).output().await.expect("podman");
        assert!(!pulled.status.success(), "it is there still");
        assert_eq!(ended(PASSWORD, &id, CopyAction::Remove).await, None, "gone is gone");
    });
}
