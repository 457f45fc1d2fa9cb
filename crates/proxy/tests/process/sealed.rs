//! The last table on disk: HTTPS without the control plane, and private keys that only this host can read.

use protocol::spec::{Certificate, ProxySpec};

use crate::hub::Hub;
use crate::support::{App, Folders, Proxy, get, https, route, soon};

/// A table with HTTPS for `localhost`, and the root that a client trusts.
fn table(app: &App) -> (ProxySpec, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
    let certificate = Certificate {
        hosts: vec!["localhost".to_owned()],
        chain_pem: made.cert.pem(),
        key_pem: made.signing_key.serialize_pem(),
    };
    let routes = vec![route("localhost", app.address).into()];
    (ProxySpec { routes, certificates: vec![certificate.into()], ..ProxySpec::default() }, made.cert.pem())
}

/// A proxy that took `table` from `hub`.
async fn served(folders: &Folders, hub: &mut Hub, table: ProxySpec) -> Proxy {
    folders.write_identity(&hub.identity());
    let proxy = Proxy::start(folders);
    let mut agent = hub.connection().await;
    agent.push(3, table).await;
    assert_eq!(agent.applied().await, 3);
    proxy
}

#[tokio::test]
async fn a_reboot_without_control_plane_serves_https_and_the_disk_shows_no_key() {
    let (folders, app) = (Folders::new(), App::start("secret").await);
    let (table, root) = table(&app);
    let mut hub = Hub::start().await;
    served(&folders, &mut hub, table).await.stop().await;
    drop(hub);
    let file = std::fs::read_to_string(folders.path().join("proxy/routes.json")).expect("file");
    assert!(file.contains("localhost") && !file.contains("PRIVATE KEY") && !file.contains("BEGIN"), "{file}");
    let proxy = Proxy::start(&folders);
    soon("HTTPS", async || https(proxy.https, &root).await.as_deref() == Some("secret")).await;
    proxy.stop().await;
}

#[tokio::test]
async fn certificates_wait_for_the_identity_and_routes_do_not() {
    let (folders, app) = (Folders::new(), App::start("secret").await);
    let (table, root) = table(&app);
    let mut hub = Hub::start().await;
    served(&folders, &mut hub, table).await.stop().await;
    let (identity, aside) = (folders.path().join("node/identity.json"), folders.path().join("aside"));
    std::fs::rename(&identity, &aside).expect("rename");
    let proxy = Proxy::start(&folders);
    soon("HTTP", async || get(proxy.http, "localhost", "/").await.ends_with("secret")).await;
    assert_eq!(https(proxy.https, &root).await, None);
    std::fs::rename(&aside, &identity).expect("rename");
    soon("HTTPS", async || https(proxy.https, &root).await.as_deref() == Some("secret")).await;
    proxy.stop().await;
}

#[tokio::test]
async fn a_table_of_another_host_is_refused_and_the_control_plane_asked() {
    let (folders, app) = (Folders::new(), App::start("secret").await);
    let (table, root) = table(&app);
    let mut hub = Hub::start().await;
    served(&folders, &mut hub, table.clone()).await.stop().await;
    drop(hub);
    // The state folder comes to a host with another identity.
    let mut hub = Hub::start().await;
    folders.write_identity(&hub.identity());
    let proxy = Proxy::start(&folders);
    let mut agent = hub.connection().await;
    assert_eq!(agent.hello.generation, 0, "what is refused counts as nothing");
    assert!(get(proxy.http, "localhost", "/").await.starts_with("HTTP/1.1 404"));
    assert!(folders.path().join("proxy/routes.json.damaged").exists());
    agent.push(1, table).await;
    assert_eq!(agent.applied().await, 1);
    assert_eq!(https(proxy.https, &root).await.as_deref(), Some("secret"));
    proxy.stop().await;
}
