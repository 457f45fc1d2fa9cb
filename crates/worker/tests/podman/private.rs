//! Apps that reach each other by name on one host, and others that do not.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use protocol::report::InstanceState;
use protocol::spec::private::{Backend, EgressRule, PrivateProject, Service};
use protocol::spec::{InstanceSpec, PrivateSpec, Probe, WorkerSpec};

use crate::support::{ControlPlane, on_a_host};
use crate::{SERVER, instance, reported, start_all};

const API: Ipv4Addr = Ipv4Addr::new(100, 96, 0, 1);
const IDLE: Ipv4Addr = Ipv4Addr::new(100, 96, 0, 2);
const FAR: Ipv4Addr = Ipv4Addr::new(100, 96, 0, 3);

fn podman(words: &[&str], input: &[u8]) -> Vec<u8> {
    run("podman", words, input)
}

fn run(program: &str, words: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("podman");
    child.stdin.take().expect("input").write_all(input).expect("written");
    child.wait_with_output().expect("ended").stdout
}

fn container(of: &InstanceSpec) -> String {
    let filter = format!("label=wisehosting.instance={}", of.id);
    let name = podman(&["ps", "--filter", &filter, "--format", "{{.Names}}"], b"");
    String::from_utf8(name).expect("text").trim().to_owned()
}

/// What `GET /up` of the address says to a program in the container.
fn get(from: &InstanceSpec, address: &str, port: u16) -> Option<String> {
    let port = port.to_string();
    let command = ["exec", "-i", &container(from), "nc", "-w", "2", address, &port];
    let answer = podman(&command, b"GET /up HTTP/1.0\r\n\r\n");
    let answer = String::from_utf8(answer).expect("text");
    answer.rsplit_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned())
}

/// Code and addresses for a question of the container to the resolver that its `resolv.conf` names.
fn resolve(from: &InstanceSpec, name: &str, kind: u8) -> Option<(u8, Vec<[u8; 4]>)> {
    let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).expect("short"));
        question.extend(label.as_bytes());
    }
    question.extend([0, 0, kind, 0, 1]);
    let conf = podman(&["exec", &container(from), "cat", "/etc/resolv.conf"], b"");
    let conf = String::from_utf8(conf).expect("text");
    let server =
        conf.lines().find_map(|line| line.strip_prefix("nameserver ")).expect("a resolver").to_owned();
    let answer = ask(from, &server, &question);
    if answer.len() < 12 {
        return None;
    }
    let addresses =
        answer.windows(6).filter(|part| part[..2] == [0, 4]).map(|part| [part[2], part[3], part[4], part[5]]);
    let addresses = addresses.filter(|address| address[0] == 100).collect();
    Some((answer[3] & 15, addresses))
}

/// One datagram there and, within two seconds, one back, from the container's network; its image has no program for it.
fn ask(from: &InstanceSpec, server: &str, question: &[u8]) -> Vec<u8> {
    const ASK: &str = "exec 3<>/dev/udp/$1/53; cat >&3; timeout 2 dd bs=1500 count=1 <&3 2>/dev/null";
    let pid = podman(&["inspect", "--format", "{{.State.Pid}}", &container(from)], b"");
    let pid = String::from_utf8(pid).expect("text");
    run("nsenter", &["-t", pid.trim(), "-n", "bash", "-c", ASK, "ask", server], question)
}

fn service(name: &str, address: Ipv4Addr, instances: &[&InstanceSpec]) -> Service {
    let backend = |one: &&InstanceSpec| Backend {
        instance: one.id,
        address: one.published,
        port: one.port,
        udp: false,
    };
    Service { name: name.to_owned(), address, backends: instances.iter().map(backend).collect() }
}

/// Bridges have link-local addresses, and hosts listen on all of theirs.
fn nothing_leaks_over_ipv6(from: &InstanceSpec) {
    const CONNECT: &str = "exec 3<>/dev/tcp/$1/7099 && echo open";
    let _listener = std::net::TcpListener::bind("[::]:7099").expect("a port");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text").trim().to_owned();
    let network = format!("wisehosting-private-{}", from.project);
    let bridge = text(podman(&["network", "inspect", &network, "--format", "{{.NetworkInterface}}"], b""));
    let told = text(run("ip", &["-6", "-o", "addr", "show", "dev", &bridge, "scope", "link"], b""));
    let address = told.split_whitespace().nth(3).and_then(|word| word.split('/').next()).expect("an address");
    let from_host =
        run("timeout", &["3", "bash", "-c", CONNECT, "look", &format!("{address}%{bridge}")], b"");
    assert_eq!(text(from_host), "open", "the host itself reaches {address}");
    let pid = text(podman(&["inspect", "--format", "{{.State.Pid}}", &container(from)], b""));
    let inside = ["-t", &pid, "-n"];
    let scoped = format!("{address}%eth0");
    let connect = ["timeout", "3", "bash", "-c", CONNECT, "look", &scoped];
    assert_eq!(
        text(run("nsenter", &[&inside[..], &connect].concat(), b"")),
        "",
        "a container reaches {scoped}"
    );
    let routes = run("nsenter", &[&inside[..], &["ip", "-6", "route", "show", "default"]].concat(), b"");
    assert_eq!(text(routes), "", "IPv6 leads out");
}

#[test]
#[expect(clippy::too_many_lines, reason = "one host for all of it")]
fn apps_of_a_project_reach_each_other_by_name_and_nobody_else() {
    on_a_host("private::apps_of_a_project_reach_each_other_by_name_and_nobody_else", async {
        let control_plane = ControlPlane::default();
        let (one, two) = (
            instance(20001, SERVER, Probe::default()).await,
            instance(20002, SERVER, Probe::default()).await,
        );
        let other = |project: &str, spec: InstanceSpec| InstanceSpec { project: project.to_owned(), ..spec };
        let far = other("office", instance(20003, SERVER, Probe::default()).await);
        let fenced = other("fenced", instance(20004, SERVER, Probe::default()).await);
        let api = service("api.shop", API, &[&one, &two]);
        let project = |name: &str, services: Vec<Service>| PrivateProject {
            project: name.to_owned(),
            services,
            egress: None,
        };
        let public = EgressRule { to: "198.51.100.20/32".parse().expect("network"), ports: vec![7000] };
        let private = PrivateSpec {
            range: "100.96.0.0/11".parse().expect("network"),
            projects: vec![
                project("shop", vec![api.clone(), service("idle.shop", IDLE, &[])]),
                project("office", vec![service("far.office", FAR, &[&far])]),
                PrivateProject { egress: Some(vec![public]), ..project("fenced", vec![api]) },
            ],
        };
        let instances = vec![one.clone(), two.clone(), far.clone(), fenced.clone()];
        let spec = WorkerSpec { instances, private: Some(private), ..WorkerSpec::default() };
        let (tasks, fresh) = start_all(&control_plane, spec).await;
        for spec in [&one, &two, &far, &fenced] {
            reported(&control_plane, spec.id, "healthy", |report| report.state == InstanceState::Healthy)
                .await;
        }

        let address = API.to_string();
        for from in [&one, &two, &fenced] {
            for port in [80, 8080] {
                for _ in 0..6 {
                    assert_eq!(get(from, &address, port).as_deref(), Some("up"), "{} {port}", from.project);
                }
            }
            assert_eq!(resolve(from, "api.shop.internal", 1), Some((0, vec![API.octets()])));
            assert_eq!(resolve(from, "api.shop.internal", 28), Some((0, Vec::new())), "no AAAA");
        }
        assert_eq!(resolve(&one, "idle.shop.internal", 1), Some((0, vec![IDLE.octets()])));
        assert_eq!(resolve(&far, "far.office.internal", 1), Some((0, vec![FAR.octets()])));
        for (from, name) in
            [(&one, "far.office.internal"), (&far, "api.shop.internal"), (&fenced, "idle.shop.internal")]
        {
            assert_eq!(resolve(from, name, 1), Some((3, Vec::new())), "{name}");
        }

        let own = |of: &InstanceSpec| {
            let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}}{{end}}";
            let text = podman(&["inspect", "--format", format, &container(of)], b"");
            let text = String::from_utf8(text).expect("text");
            let (address, gateway) = text.trim().split_once(' ').expect("two");
            (address.to_owned(), gateway.to_owned())
        };
        let (address_of_one, gateway) = own(&one);
        let (address_of_far, gateway_of_far) = own(&far);
        let (mesh, listens) = ("10.50.0.11", "198.51.100.20");
        for (from, to, port) in [
            (&one, IDLE.to_string().as_str(), 80),
            (&one, &FAR.to_string(), 80),
            (&far, &address, 80),
            (&far, &address, 8080),
            (&one, &address_of_far, 8080),
            (&far, &address_of_one, 8080),
            (&fenced, &address_of_one, 8080),
            (&one, mesh, 20001),
            (&one, mesh, 20003),
            (&fenced, mesh, 20001),
        ] {
            assert_eq!(get(from, to, port), None, "{} to {to}:{port}", from.project);
        }
        let question = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x03api\x04shop\x08internal\0\0\x01\0\x01";
        assert!(!ask(&one, &gateway, question).is_empty());
        let by_tcp = [&[0, 35], question.as_slice()].concat();
        let answer = podman(&["exec", "-i", &container(&one), "nc", "-w", "2", &gateway, "53"], &by_tcp);
        assert!(answer.windows(4).any(|part| part == API.octets()), "{answer:?}");
        for (from, server) in
            [(&far, gateway.as_str()), (&one, &gateway_of_far), (&far, listens), (&far, mesh)]
        {
            assert!(ask(from, server, question).is_empty(), "{} asks {server}", from.project);
        }

        nothing_leaks_over_ipv6(&one);

        // The process that answers is not the agent, which comes back without its being gone.
        drop((tasks, fresh));
        assert_eq!(resolve(&one, "api.shop.internal", 1), Some((0, vec![API.octets()])));
        assert_eq!(get(&one, &address, 80).as_deref(), Some("up"));
    });
}
