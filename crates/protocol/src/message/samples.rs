//! One of each message, for the tests.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::*;
use crate::ids::{AppId, ArchiveId, DeploymentId, InstanceId, NodeId};
use crate::job::{
    Build, BuildLimits, BuildSecrets, Built, CertificateOrder, ChallengeKind, ExternalAccount, Failure,
    GitAccess, GitSecret, Preset, ProbeEvidence, Recipe, RegistryLogin, Source, Stage, Work,
};
use crate::lease::{LeaseGrant, LeaseRequest};
use crate::numbers::Space;
use crate::question::{
    AgentLine, AgentLog, AnswerKind, Cleanable, CleanableImage, Cleaned, LeftImage, LogLevel, LogPlace,
    LogQuestion, Question,
};
use crate::registry::{CopyAction, CopyOrder, CopyReport};
use crate::report::{
    Corrected, Deed, GitHostKey, HeldImage, HostFacts, ImageProblem, ImageReport, InstanceReport,
    InstanceState, InstanceStats, LogLine, NextKey, OperatingSystem, PeerReport, Probes, RelayAbility,
    Scrubbed, ScrubbedFrom, Stray, Stream, WorkerReport,
};
use crate::spec::private::{
    Backend, Egress, EgressRule, PrivateChange, PrivateProject, ProjectChange, Service,
};
use crate::spec::{
    Certificate, CrashGuard, HttpChallenge, ImageSource, ImageSpec, InstanceSpec, Isolation, KeyChange,
    MeshPeer, MeshSpec, Piece, PrivateSpec, Probe, ProxySpec, Resources, Route, TableChange, Upstream,
    WorkerSpec,
};
use crate::storage::{OtherContainer, Volume};
use crate::stream::{self, StreamOptions, StreamProblem, StreamProtocol, StreamReport};
use crate::traffic::{AccessSample, AppTraffic, Latency, PathTraffic};
fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn at() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).expect("in range")
}

fn evidence() -> ProbeEvidence {
    ProbeEvidence {
        at: at(),
        target: "GET http://10.50.0.11:20000/up".to_owned(),
        attempts: 3,
        outcome: "HTTP 503 in 12 ms".to_owned(),
        body: Some("starting".to_owned()),
    }
}

fn failure() -> Failure {
    Failure {
        code: "exited".to_owned(),
        message: "the app ended".to_owned(),
        hint: None,
        stage: Stage::Probe,
        exit_code: Some(3),
        out_of_memory: false,
        last_lines: vec!["boom".to_owned()],
        probe: Some(evidence()),
    }
}

fn host_key(job_id: JobId) -> GitHostKey {
    GitHostKey { job_id, host: "git.example.com".to_owned(), key: "ssh-ed25519 AAAA".to_owned() }
}

fn scrubbed(job_id: JobId) -> Scrubbed {
    let from = ScrubbedFrom::Build(job_id);
    Scrubbed { app_id: AppId(id(1)), variable: "TOKEN".to_owned(), from }
}

fn recipe() -> Recipe {
    Recipe {
        preset: Preset::Static,
        because: vec!["index.html".to_owned()],
        others: Vec::new(),
        port: 8080,
        containerfile: "FROM scratch\n".to_owned(),
        ignore: ".git\n".to_owned(),
    }
}

fn stray(instance: InstanceId) -> Stray {
    Stray {
        container: "c0ffee".to_owned(),
        name: "wh-hello-1-12345678".to_owned(),
        instance_id: Some(instance),
        app: Some("hello".to_owned()),
        state: "exited".to_owned(),
        reason: "no desired state of this worker ever had it".to_owned(),
        found_at: at(),
        remove_at: at(),
    }
}

fn lines() -> Vec<LogLine> {
    vec![LogLine { seq: 1, at: at(), stream: Stream::Stderr, text: "a line".to_owned() }]
}

fn nixos() -> OperatingSystem {
    OperatingSystem {
        name: "NixOS 26.05 (Yarara)".to_owned(),
        build: Some("26.05.20261115.0a1b2c3".to_owned()),
        generation: Some(42),
        boot_generation: Some(43),
        activated_at: Some(at()),
        packages_at: Some(at()),
        reboot_needed: true,
    }
}

fn mesh_report() -> MeshReport {
    MeshReport {
        peers: vec![PeerReport {
            public_key: "key".to_owned(),
            endpoint: Some(([203, 0, 113, 1], 51821).into()),
            handshake_age_s: Some(3),
            received_bytes: 1,
            sent_bytes: 2,
            probes: Some(Probes { sent: 20, lost: 1, silent: 0, rtt_us: Some(900), mtu: Some(1380) }),
            via: Some("key of a relay".to_owned()),
            direct_s: Some(12),
        }],
        at: Some(at()),
        public_key: Some("own key".to_owned()),
        mtu: Some(1420),
        addresses: vec![([192, 168, 1, 5], 51821).into()],
        relay: Some(RelayAbility::Relays),
        next_key: Some(NextKey { rotation: id(6), public_key: "next key".to_owned() }),
        takes: vec!["next key of a peer".to_owned()],
    }
}

fn image_report() -> ImageReport {
    ImageReport {
        images: vec![HeldImage {
            id: "sha256:aa".to_owned(),
            ours: true,
            cache: false,
            made_at: at(),
            size_bytes: 10,
            frees_bytes: 5,
        }],
        total_bytes: 20,
        problems: vec![ImageProblem { id: "sha256:bb".to_owned(), message: "why".to_owned() }],
        copies: vec![CopyReport {
            image_id: "sha256:aa".to_owned(),
            reference: "registry.example.com/images/hello:v1".to_owned(),
            action: CopyAction::Push,
            problem: Some("why".to_owned()),
        }],
    }
}

fn worker_report(instance: InstanceId) -> WorkerReport {
    WorkerReport {
        instances: vec![InstanceReport {
            id: instance,
            state: InstanceState::Exited,
            started_at: Some(at()),
            restarts: 1,
            exit_code: Some(3),
            out_of_memory: false,
            probe: Some(evidence()),
            failure: Some(failure()),
            over_disk: None,
        }],
        strays: vec![stray(instance)],
    }
}

fn numbers() -> NodeNumbers {
    NodeNumbers {
        at: at(),
        cpu_percent: 12.5,
        load: [0.5, 0.25, 0.125],
        memory: Space { used_bytes: 1, total_bytes: 2 },
        swap: Space { used_bytes: 3, total_bytes: 4 },
        root: Space { used_bytes: 5, total_bytes: 6 },
        containers: Some(Space { used_bytes: 7, total_bytes: 8 }),
        received_bytes: 9,
        sent_bytes: 10,
        uptime_s: 11,
    }
}

fn storage_report() -> StorageReport {
    StorageReport {
        containers: vec![OtherContainer {
            id: "aa".to_owned(),
            name: "postgres".to_owned(),
            image: "docker.io/library/postgres:17".to_owned(),
            state: "running".to_owned(),
            created_at: at(),
            size_bytes: Some(10),
        }],
        container_count: 1,
        volumes: vec![Volume { name: "data".to_owned(), size_bytes: 20, containers: 1 }],
        volume_count: 1,
        disk: Some(Space { used_bytes: 1, total_bytes: 2 }),
        measured_at: Some(at()),
    }
}

/// About the host, and to what people ask.
pub(super) fn answers() -> Vec<FromAgent> {
    let image = CleanableImage {
        id: "sha256:aa".to_owned(),
        names: vec!["docker.io/library/node:22".to_owned()],
        made_at: at(),
        frees_bytes: 10,
        reason: "why".to_owned(),
    };
    let line = AgentLine {
        seq: 1,
        at: at(),
        level: LogLevel::Warn,
        target: "worker::images".to_owned(),
        text: "a line".to_owned(),
    };
    let left = LeftImage { id: "sha256:bb".to_owned(), why: "why".to_owned() };
    let host = [FromAgent::Numbers(numbers()), FromAgent::StorageReport(storage_report())];
    let answers = [
        AnswerKind::Log(AgentLog { run: id(7), lines: vec![line] }),
        AnswerKind::Cleanable(Cleanable { images: vec![image.clone()] }),
        AnswerKind::Cleaned(Cleaned { removed: vec![image], left: vec![left] }),
        AnswerKind::Failed { message: "why".to_owned() },
    ]
    .map(|answer| FromAgent::Answer(Answer { id: id(9), answer }));
    host.into_iter().chain(answers).collect()
}

pub(super) fn questions() -> Vec<FromControlPlane> {
    let after = Some(LogPlace { run: id(7), seq: 1 });
    [
        Question::Log(LogQuestion { after, level: LogLevel::Info, lines: 100 }),
        Question::Cleanable,
        Question::Clean { images: vec!["sha256:aa".to_owned()] },
    ]
    .map(|question| FromControlPlane::Ask(Ask { id: id(9), question }))
    .into()
}

pub(super) fn said_by_agents() -> Vec<FromAgent> {
    let (job_id, instance) = (JobId(id(1)), InstanceId(id(2)));
    let progress = |stage, recipe| FromAgent::JobProgress(JobProgress { job_id, stage, at: at(), recipe });
    vec![
        FromAgent::Hello(Hello {
            version: "0.1.0".to_owned(),
            generation: 7,
            jobs: vec![job_id],
            build_slots: 2,
            host: HostFacts { architecture: "x86_64".to_owned(), cpus: 2, ..HostFacts::default() },
        }),
        FromAgent::Heartbeat(Heartbeat { at: at(), load: 0.5, memory_used_mb: 100, disk_used_percent: 25.0 }),
        FromAgent::Host(HostFacts { os: Some(nixos()), ..HostFacts::default() }),
        FromAgent::Ack(Ack { ids: Vec::new() }),
        FromAgent::Applied(Applied { generation: 7 }),
        FromAgent::MeshReport(mesh_report()),
        FromAgent::WorkerReport(worker_report(instance)),
        FromAgent::Corrected(Corrected {
            at: at(),
            container: Some("c0ffee".to_owned()),
            instance_id: Some(instance),
            app: Some("hello".to_owned()),
            deed: Deed::Recreated,
            reason: "its container was gone".to_owned(),
        }),
        FromAgent::LeaseRequest(LeaseRequest { seq: 7 }),
        FromAgent::ImageReport(image_report()),
        progress(Stage::Fetch, None),
        progress(Stage::Build, Some(Box::new(recipe()))),
        FromAgent::JobLog(JobLog { job_id, lines: lines() }),
        FromAgent::JobDone(JobDone {
            job_id,
            outcome: Outcome::Built(Built {
                image_id: "sha256:aa".to_owned(),
                reference: "localhost/wisehosting/hello:1".to_owned(),
                size_bytes: 10,
                exposed_ports: vec![8080],
                commit: None,
            }),
        }),
        FromAgent::JobDone(JobDone { job_id, outcome: Outcome::Failed(failure()) }),
        FromAgent::JobDone(JobDone { job_id, outcome: Outcome::Limited { failure: failure(), until: at() } }),
        FromAgent::Scrubbed(scrubbed(job_id)),
        FromAgent::GitHostKey(host_key(job_id)),
        FromAgent::InstanceLog(InstanceLog {
            app_id: AppId(id(3)),
            instance_id: instance,
            release: 1,
            lines: lines(),
        }),
        FromAgent::Stats(Stats { at: at(), instances: vec![stats(instance)] }),
        FromAgent::Traffic(traffic()),
        FromAgent::Streams(StreamReport {
            problems: vec![StreamProblem {
                protocol: StreamProtocol::Udp,
                port: 27015,
                problem: "another process has the port".to_owned(),
            }],
        }),
    ]
}

fn stats(id: InstanceId) -> InstanceStats {
    InstanceStats {
        id,
        cpu_millis: 10,
        memory_bytes: 20,
        received_bytes: 30,
        sent_bytes: 40,
        receive_rate: None,
        send_rate: None,
        pids: None,
        disk_bytes: None,
    }
}

fn traffic() -> TrafficReport {
    let mut latency = Latency::default();
    latency.record(1_500);
    let path = PathTraffic { path: "/users/*".to_owned(), requests: 1, errors: 1, took_us: 1_500 };
    let sample = AccessSample {
        at: at(),
        method: "GET".to_owned(),
        host: "hello.example.com".to_owned(),
        path: "/users/17".to_owned(),
        status: 502,
        took_us: 1_500,
        received_bytes: 0,
        sent_bytes: 512,
        client: [192, 0, 2, 7].into(),
        protocol: "HTTP/2.0".to_owned(),
        tls: true,
        user_agent: Some("curl/8".to_owned()),
        referer: None,
        upstream: Some(([10, 88, 0, 2], 8080).into()),
    };
    let app = AppTraffic {
        app: "hello".to_owned(),
        requests: [0, 0, 0, 0, 1],
        received_bytes: 0,
        sent_bytes: 512,
        connections: 1,
        upstream_errors: 1,
        latency,
        paths: vec![path],
        samples: vec![sample],
    };
    TrafficReport { run: Uuid::from_u128(7), number: 1, at: at(), apps: vec![app] }
}

fn service() -> Service {
    Service {
        name: "hello.default".to_owned(),
        address: [100, 96, 0, 1].into(),
        backends: vec![Backend {
            instance: InstanceId(id(2)),
            address: ([10, 50, 0, 11], 20001).into(),
            port: 8080,
            udp: false,
        }],
    }
}

fn private_change() -> PrivateChange {
    let project = ProjectChange {
        project: "default".to_owned(),
        services: vec![service()],
        gone: vec![[100, 96, 0, 2].into()],
        egress: Some(Egress { rules: None }),
    };
    PrivateChange { from: 6, generation: 7, projects: vec![project] }
}

fn worker_spec() -> WorkerSpec {
    WorkerSpec {
        private: Some(PrivateSpec {
            range: "100.96.0.0/11".parse().expect("a network"),
            projects: vec![PrivateProject {
                project: "default".to_owned(),
                services: vec![service()],
                egress: Some(vec![EgressRule {
                    to: "203.0.113.0/24".parse().expect("a network"),
                    ports: vec![443],
                }]),
            }],
        }),
        instances: vec![InstanceSpec {
            id: InstanceId(id(2)),
            app_id: AppId(id(3)),
            app: "hello".to_owned(),
            project: "default".to_owned(),
            release: 1,
            image: ImageSpec {
                id: "sha256:aa".to_owned(),
                reference: "localhost/wisehosting/hello:1".to_owned(),
                sources: vec![ImageSource {
                    node: NodeId(id(4)),
                    address: ([10, 50, 0, 12], 8090).into(),
                    ticket: "1.aa".to_owned(),
                }],
            },
            env: BTreeMap::from([("NAME".to_owned(), "value".to_owned())]),
            predefined: BTreeMap::from([("WISEHOSTING_APP".to_owned(), "hello".to_owned())]),
            command: None,
            port: 8080,
            published: ([10, 50, 0, 11], 20000).into(),
            udp: false,
            exclusive: false,
            probe: Probe::default(),
            resources: Resources::default(),
            isolation: Isolation::default(),
            crash_guard: CrashGuard { restarts: 3, calm_s: 60 },
            stop_grace_s: 10,
            once: false,
        }],
        images: vec![ImageSpec {
            id: "sha256:bb".to_owned(),
            reference: "localhost/wisehosting/hello:2".to_owned(),
            sources: Vec::new(),
        }],
        remove_images: vec!["sha256:cc".to_owned()],
        remove_caches: vec![AppId(id(3))],
        copies: vec![CopyOrder {
            image_id: "sha256:aa".to_owned(),
            reference: "registry.example.com/images/hello:v1".to_owned(),
            action: CopyAction::Push,
        }],
    }
}

/// A desired state of a control plane that knows nothing of kept images.
fn proxy_spec() -> ProxySpec {
    ProxySpec {
        routes: vec![
            Route {
                id: "hello".to_owned(),
                app: "hello".to_owned(),
                hosts: vec!["hello.route.example.com".to_owned()],
                path: "/".to_owned(),
                upstreams: vec![Upstream {
                    instance: InstanceId(id(2)),
                    address: ([10, 50, 0, 11], 20000).into(),
                    weight: 1,
                }],
                https_only: true,
                options: Box::default(),
                unavailable: None,
            }
            .into(),
        ],
        certificates: vec![
            Certificate {
                hosts: vec!["hello.route.example.com".to_owned()],
                chain_pem: "chain".to_owned(),
                key_pem: "key".to_owned(),
            }
            .into(),
        ],
        challenges: vec![HttpChallenge {
            host: "hello.route.example.com".to_owned(),
            token: "token".to_owned(),
            key_authorization: "token.thumbprint".to_owned(),
        }],
        alpn_challenges: Vec::new(),
        resolvers: [("hello.example.com".to_owned(), "le".to_owned())].into(),
        refused: vec!["other.example.com".to_owned()],
        streams: vec![stream::Stream {
            protocol: StreamProtocol::Tcp,
            port: 5432,
            app: "hello".to_owned(),
            upstreams: Vec::new(),
            options: StreamOptions {
                allow: vec!["203.0.113.0/24".parse().expect("a network")],
                proxy_protocol: true,
                tls: Some("hello.route.example.com".to_owned()),
                max_connections: 10,
                idle_timeout_s: Some(60),
            },
        }],
    }
}

fn table_change() -> TableChange {
    let ProxySpec { routes, certificates, .. } = proxy_spec();
    TableChange {
        from: 7,
        generation: 8,
        routes: vec![Piece::Kept { from: 1, count: 2 }, Piece::New(routes)],
        certificates: vec![Piece::New(certificates)],
        rest: Some(ProxySpec::default()),
    }
}

fn mesh_spec() -> MeshSpec {
    let peer = MeshPeer {
        name: "w1".to_owned(),
        public_key: "key".to_owned(),
        mesh_address: [10, 50, 0, 11].into(),
        endpoint: None,
    };
    MeshSpec {
        candidates: [("key".to_owned(), vec![([192, 168, 1, 5], 51821).into()])].into(),
        relayed: [("key".to_owned(), "key of a relay".to_owned())].into(),
        relays: vec![[[10, 50, 0, 2].into(), [10, 50, 0, 3].into()]],
        peers: vec![peer],
        prefix: Some(16),
        rotation: Some(id(6)),
        key_change: Some(KeyChange { rotation: id(6), to: Some("next key".to_owned()) }),
        next_keys: [("key".to_owned(), "next key of a peer".to_owned())].into(),
    }
}

pub(super) fn said_by_the_control_plane() -> Vec<FromControlPlane> {
    let build = Build {
        deployment_id: DeploymentId(id(5)),
        app_id: AppId(id(3)),
        app: "hello".to_owned(),
        source: Source::Archive { archive_id: ArchiveId(id(6)) },
        containerfile: Box::default(),
        limits: BuildLimits { memory_mb: 2048, cpu_millis: 2000, timeout_s: 1800, source_bytes: 1 << 30 },
        no_cache: false,
        tag: "localhost/wisehosting/hello:1".to_owned(),
        predefined: BTreeMap::from([("WISEHOSTING_APP".to_owned(), "hello".to_owned())]),
        secrets: Box::new(BuildSecrets {
            registries: vec![RegistryLogin {
                host: "registry.example.com".to_owned(),
                username: "ann".to_owned(),
                password: "secret".to_owned(),
            }],
            variables: BTreeMap::from([("TOKEN".to_owned(), "secret".to_owned())]),
            mounted: vec!["TOKEN".to_owned()],
            git: Some(GitAccess {
                host: "git.example.com".to_owned(),
                secret: GitSecret::Key {
                    private_key: "secret".to_owned(),
                    host_keys: vec!["ssh-ed25519 AAAA".to_owned()],
                },
            }),
        }),
    };
    let order = CertificateOrder {
        contact: Some("mailto:ops@example.com".to_owned()),
        ..CertificateOrder::new("hello.route.example.com", "https://ca.example.com/dir")
    };
    let wildcard = CertificateOrder {
        names: vec!["*.route.example.com".to_owned()],
        challenge: ChallengeKind::Dns01,
        binding: Some(ExternalAccount { key_id: "kid".to_owned(), hmac_key: "secret".to_owned() }),
        replaces: Some("aki.serial".to_owned()),
        ..CertificateOrder::new("*.route.example.com", "https://ca.example.com/dir")
    };
    let spec = |spec| FromControlPlane::Spec(Versioned { generation: 7, spec });
    vec![
        FromControlPlane::Ack(Ack { ids: Vec::new() }),
        spec(Spec::Mesh(mesh_spec())),
        spec(Spec::Worker(worker_spec())),
        spec(Spec::Proxy(proxy_spec())),
        FromControlPlane::SpecChange(Box::new(table_change())),
        FromControlPlane::SpecPrivate(Box::new(private_change())),
        FromControlPlane::JobStart(Job { id: JobId(id(1)), work: Work::Build(Box::new(build)) }),
        FromControlPlane::JobStart(Job { id: JobId(id(1)), work: Work::Certificate(Box::new(order)) }),
        FromControlPlane::JobStart(Job { id: JobId(id(1)), work: Work::Certificate(Box::new(wildcard)) }),
        FromControlPlane::JobCancel(JobCancel { job_id: JobId(id(1)) }),
        FromControlPlane::LeaseGrant(LeaseGrant {
            seq: 7,
            ttl_ms: 240_000,
            instances: vec![InstanceId(id(2))],
        }),
        FromControlPlane::Refused(Refused { code: "envelope_hmac".to_owned(), message: "why".to_owned() }),
    ]
}
