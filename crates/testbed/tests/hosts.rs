//! The test bed's own ground: hosts, cables, power, processes, storage. No program of ours runs here but init.

use std::path::{Path, PathBuf};
use std::time::Duration;

use testbed::cache::Cache;
use testbed::host::{Host, INET};
use testbed::http::get;
use testbed::journal::{Journal, Record};
use testbed::network::{self, INET_ADDRESS};
use testbed::pki::Authority;
use testbed::report::until;
use testbed::service::Service;
use testbed::software::{self, Shared};
use testbed::{cluster, topology};

const MINUTE: Duration = Duration::from_mins(1);

/// Two hosts, torn down when the test ends, also by a panic.
struct Bed {
    folder: tempfile::TempDir,
    program: PathBuf,
    inet: Host,
    host: Host,
}

impl Bed {
    fn boot() -> Self {
        daemon::crypto::install();
        let program = PathBuf::from(env!("CARGO_BIN_EXE_wh-testbed"));
        let folder = tempfile::tempdir().expect("temp dir");
        let state = folder.path().join("cluster");
        std::fs::create_dir(&state).expect("mkdir");
        Journal::in_folder(&state).record(&Record::Folder { path: state.clone() }).expect("record");
        let cache = Cache::ensure(&cache_folder(), &program).expect("cache");
        let authority = Authority::new().expect("authority");
        let programs = program.parent().expect("parent").to_owned();
        let shared = Shared::write(&state, &programs, cache, &authority).expect("shared");
        let prefix = format!("wh-hosts-{}", std::process::id());
        let (inet, host) = (Host::in_cluster(&state, &prefix, INET), Host::in_cluster(&state, &prefix, "w1"));
        shared.prepare(&inet, INET_ADDRESS).expect("prepare");
        shared.prepare(&host, topology::W1.public).expect("prepare");
        for service in software::internet(&inet, &authority).expect("internet") {
            inet.set_service(&service).expect("service");
        }
        software::prepare_postgres(&host, &shared.cache).expect("database");
        host.set_service(&software::postgres().expect("postgres")).expect("service");
        host.set_service(&software::podman()).expect("service");
        let bed = Self { folder, program, inet, host };
        bed.inet.boot(&bed.program, None).expect("boot");
        bed.host.boot(&bed.program, Some(&bed.inet)).expect("boot");
        bed
    }

    fn exec(&self, words: &[&str]) -> String {
        let output = self.host.command(&self.program, words).expect("host is on").output().expect("run");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{words:?}: {out}{err}");
        out.into_owned()
    }

    fn journal(&self) -> Journal {
        Journal::in_folder(&self.folder.path().join("cluster"))
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.journal().tear_down().expect("tear down");
    }
}

fn cache_folder() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/testbed");
    std::env::var_os("WH_TESTBED_CACHE").map_or_else(default, PathBuf::from)
}

async fn answers(host: &Host, port: u16) {
    let address = std::net::SocketAddr::from((topology::W1.public, port));
    until("the port", MINUTE, || async { network::connect(host.init()?, address).await.map(Some) })
        .await
        .expect("open");
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_have_cables_power_processes_and_storage_of_their_own() {
    let bed = Bed::boot();
    the_internet_has_a_certificate_authority(&bed).await;
    postgres_answers_by_socket_only(&bed).await;
    a_container_built_on_the_base_image_serves_and_stays_after_a_power_cut(&bed).await;
    a_killed_process_comes_back_and_what_it_detached_lives_on(&bed).await;
    nothing_is_left_after_the_tear_down(bed);
}

async fn the_internet_has_a_certificate_authority(bed: &Bed) {
    let roots = std::fs::read_to_string(bed.host.folder.join("authority.pem")).expect("authority");
    let address = std::net::SocketAddr::from((INET_ADDRESS, 15000));
    let pebble = testbed::http::Server { from: bed.host.clone(), address, roots: Some(roots) };
    let fetch = || async { pebble.send(get("198.51.100.1", "/roots/0")?).await.map(Some) };
    let answer = until("Pebble", MINUTE, fetch).await.expect("root certificate");
    assert!(answer.text().starts_with("-----BEGIN CERTIFICATE"), "{}", answer.text());
}

async fn postgres_answers_by_socket_only(bed: &Bed) {
    let query = || async {
        let words =
            ["psql", "-h", "/var/lib/postgresql/run", "-U", "wise", "wisehosting", "-Atc", "select 40 + 2"];
        let output = bed.host.command(&bed.program, &words)?.output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(Some(String::from_utf8(output.stdout)?))
    };
    assert_eq!(until("Postgres", MINUTE, query).await.expect("answer"), "42\n");
    bed.host.stop_process(software::POSTGRES).expect("stop");
    assert!(bed.host.inner_pid(software::POSTGRES).is_none());
    bed.host.start_process(software::POSTGRES).expect("start");
    until("Postgres again", MINUTE, query).await.expect("answer");
}

async fn a_container_built_on_the_base_image_serves_and_stays_after_a_power_cut(bed: &Bed) {
    let source = bed.host.folder.join("lib/app");
    std::fs::create_dir_all(&source).expect("mkdir");
    let text =
        "FROM busybox:stable\nRUN mkdir /www && echo hello > /www/index.html\nCMD httpd -f -p 8080 -h /www\n";
    std::fs::write(source.join("Containerfile"), text).expect("write");
    bed.exec(&[
        "podman",
        "build",
        "--quiet",
        "--network",
        "none",
        "--tag",
        "app",
        "/var/lib/wisehosting/app",
    ]);
    bed.exec(&["podman", "run", "-d", "--name", "app", "-p", "198.51.100.20:8000:8080", "app"]);
    answers(&bed.inet, 8000).await;

    bed.host.power_off().expect("power off");
    assert!(bed.host.init().is_err());
    bed.host.boot(&bed.program, Some(&bed.inet)).expect("power on");
    bed.exec(&["podman", "start", "app"]);
    answers(&bed.inet, 8000).await;
}

async fn a_killed_process_comes_back_and_what_it_detached_lives_on(bed: &Bed) {
    let detaches = "setsid sleep 4711 & echo $! > /var/lib/wisehosting/detached; exec sleep 4712";
    bed.host.set_service(&Service::new("parent", &["sh", "-c", detaches])).expect("service");
    let running = || async { Ok(bed.host.inner_pid("parent")) };
    let first = until("the service", MINUTE, running).await.expect("runs");
    let file = bed.host.folder.join("lib/detached");
    let detached = until("its child", MINUTE, || async {
        Ok(std::fs::read_to_string(&file).ok().filter(|text| !text.is_empty()))
    });
    let detached = detached.await.expect("detached");
    bed.host.kill_process("parent").expect("kill");
    let other = || async { Ok(bed.host.inner_pid("parent").filter(|&pid| pid != first)) };
    until("the service again", MINUTE, other).await.expect("restarted");
    assert_eq!(bed.exec(&["cat", &format!("/proc/{}/comm", detached.trim())]), "sleep\n");
}

fn nothing_is_left_after_the_tear_down(bed: Bed) {
    let records = bed.journal().records().expect("records");
    bed.journal().tear_down().expect("tear down");
    assert!(!bed.folder.path().join("cluster").exists());
    for record in records {
        match record {
            Record::Process { what, id } => assert!(!id.is_alive(), "{what}"),
            Record::Cgroup { name } => {
                let left = |root: &Path| root.join(&name).exists();
                let roots = std::fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten();
                assert!(!roots.map(|root| root.path()).any(|root| left(&root)), "{name}");
            }
            Record::Folder { path } => assert!(!path.exists()),
        }
    }
    assert!(cluster::host_names().all(|name| bed.folder.path().join(name).metadata().is_err()));
}
