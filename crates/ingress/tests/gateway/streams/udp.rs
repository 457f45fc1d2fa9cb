use std::io;
use std::net::SocketAddr;

use protocol::stream::{Stream, StreamProtocol};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::{Ports, SOON, at, eventually, free_port, stream};

/// An app that answers each datagram with its name and from which port it came.
struct Game {
    address: SocketAddr,
    tasks: JoinSet<()>,
}

impl Game {
    async fn start(name: &'static str) -> Self {
        let socket = UdpSocket::bind(at(0)).await.expect("free port");
        let address = socket.local_addr().expect("address");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut datagram = [0; 2048];
            while let Ok((_, from)) = socket.recv_from(&mut datagram).await {
                let answer = format!("{name} {}", from.port());
                socket.send_to(answer.as_bytes(), from).await.expect("send");
            }
        });
        Self { address, tasks }
    }

    async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

fn udp(port: u16, apps: &[&Game]) -> Stream {
    let addresses: Vec<_> = apps.iter().map(|app| app.address).collect();
    stream(StreamProtocol::Udp, port, &addresses)
}

struct Player(UdpSocket, u16);

impl Player {
    async fn new(port: u16) -> Self {
        Self(UdpSocket::bind(at(0)).await.expect("free port"), port)
    }

    /// Name of who answers, and the session's port. Sends until there is an answer, as UDP's clients do.
    async fn ask(&self) -> (String, String) {
        let answer = eventually(|| async {
            self.0.send_to(b"ping", at(self.1)).await?;
            self.answer().await
        })
        .await;
        let (name, port) = answer.split_once(' ').expect("two words");
        (name.to_owned(), port.to_owned())
    }

    async fn answer(&self) -> io::Result<String> {
        let mut datagram = [0; 2048];
        let received = tokio::time::timeout(SOON / 20, self.0.recv_from(&mut datagram)).await;
        let (length, from) = received.map_err(io::Error::other)??;
        assert_eq!(from, at(self.1), "answers come from where the client sent to");
        Ok(String::from_utf8_lossy(&datagram[..length]).into_owned())
    }
}

#[tokio::test]
async fn each_client_has_a_session_of_its_own_that_ends_when_nothing_moves() {
    let (game, port) = (Game::start("a").await, free_port().await);
    let mut short = udp(port, &[&game]);
    short.options.idle_timeout_s = Some(1);
    let _ports = Ports::new(&[short]);
    let (one, two) = (Player::new(port).await, Player::new(port).await);
    let (first, second) = (one.ask().await, two.ask().await);
    assert_ne!(first.1, second.1);
    assert_eq!(one.ask().await, first, "the same session");
    eventually(|| async {
        tokio::time::sleep(SOON / 5).await;
        if one.ask().await == first { Err(io::Error::other("not idle for long enough")) } else { Ok(()) }
    })
    .await;
}

#[tokio::test]
async fn there_are_no_more_sessions_than_allowed() {
    let (game, port) = (Game::start("a").await, free_port().await);
    let mut small = udp(port, &[&game]);
    small.options.max_connections = 1;
    let ports = Ports::new(&[small.clone()]);
    let (one, two) = (Player::new(port).await, Player::new(port).await);
    one.ask().await;
    two.0.send_to(b"ping", at(port)).await.expect("send");
    assert!(two.answer().await.is_err());
    small.options.max_connections = 2;
    ports.apply(&[small]);
    two.ask().await;
}

#[tokio::test]
async fn a_session_whose_instance_is_gone_goes_on_at_another() {
    let (old, new, port) = (Game::start("a").await, Game::start("b").await, free_port().await);
    let ports = Ports::new(&[udp(port, &[&old])]);
    let player = Player::new(port).await;
    assert_eq!(player.ask().await.0, "a");
    ports.apply(&[udp(port, &[&new])]);
    assert_eq!(player.ask().await.0, "a", "as long as it is there");
    assert_eq!(Player::new(port).await.ask().await.0, "b");
    old.stop().await;
    eventually(|| async {
        if player.ask().await.0 == "b" { Ok(()) } else { Err(io::Error::other("still the old one")) }
    })
    .await;
}

#[tokio::test]
async fn a_removed_stream_frees_its_port_and_who_is_not_let_in_hears_nothing() {
    let (game, port) = (Game::start("a").await, free_port().await);
    let ports = Ports::new(&[udp(port, &[&game])]);
    let player = Player::new(port).await;
    player.ask().await;
    let mut closed = udp(port, &[&game]);
    closed.options.allow = vec!["192.0.2.0/24".parse().expect("network")];
    ports.apply(&[closed]);
    player.0.send_to(b"ping", at(port)).await.expect("send");
    assert!(player.answer().await.is_err(), "the list holds for sessions, too");
    ports.apply(&[]);
    eventually(|| UdpSocket::bind(at(port))).await;
}

#[tokio::test]
async fn a_taken_port_names_the_command_that_finds_its_holder() {
    let (game, port) = (Game::start("a").await, free_port().await);
    let _holder = UdpSocket::bind(at(port)).await.expect("free");
    let ports = Ports::new(&[udp(port, &[&game])]);
    let told = ports.problems(|told| !told.is_empty()).await;
    assert!(told[0].problem.contains("ss -lunp"), "{}", told[0].problem);
}
