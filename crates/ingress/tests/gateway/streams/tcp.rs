use std::io;
use std::time::Duration;

use ingress::Options;
use protocol::stream::{Stream, StreamOptions, StreamProtocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Echo, Ports, SOON, at, connect, eventually, free_port, named, stream};
use crate::support::{certificate, tls};

fn tcp(port: u16, apps: &[&Echo]) -> Stream {
    let addresses: Vec<_> = apps.iter().map(|app| app.address).collect();
    stream(StreamProtocol::Tcp, port, &addresses)
}

fn with(stream: Stream, change: impl FnOnce(&mut StreamOptions)) -> Stream {
    let mut stream = stream;
    change(&mut stream.options);
    stream
}

/// What comes until the other side ends.
async fn rest(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    tokio::time::timeout(SOON, stream.read_to_end(&mut all)).await.map_err(io::Error::other)??;
    Ok(all)
}

#[tokio::test]
async fn bytes_go_both_ways_and_the_end_of_one_leaves_the_other_open() {
    let (app, port) = (Echo::start("a").await, free_port().await);
    let _ports = Ports::new(&[tcp(port, &[&app])]);
    let (mut client, _) = eventually(|| connect(port)).await;
    let sent: Vec<u8> = (0..=250_u8).cycle().take(4 << 20).collect();
    client.write_all(&sent).await.expect("send");
    client.shutdown().await.expect("half of it ends");
    // A reader that takes its time: what waits for it is all there in the end.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(rest(&mut client).await.expect("the other half") == sent);
}

#[tokio::test]
async fn a_port_that_is_in_use_is_told_and_had_once_it_is_free() {
    let (app, taken, free) = (Echo::start("a").await, free_port().await, free_port().await);
    let holder = TcpListener::bind(at(taken)).await.expect("free");
    let ports = Ports::new(&[tcp(taken, &[&app]), tcp(free, &[&app])]);
    let told = ports.problems(|told| !told.is_empty()).await;
    assert_eq!((told.len(), told[0].port), (1, taken));
    let remedy = format!("ss -ltnp 'sport = :{taken}'");
    assert!(told[0].problem.contains(&remedy), "{}", told[0].problem);
    eventually(|| connect(free)).await;
    drop(holder);
    ports.problems(<[_]>::is_empty).await;
    eventually(|| connect(taken)).await;
}

#[tokio::test]
async fn a_removed_stream_takes_nobody_more_and_no_other_connection_notices() {
    let (app, going, staying) = (Echo::start("a").await, free_port().await, free_port().await);
    let ports = Ports::new(&[tcp(going, &[&app]), tcp(staying, &[&app])]);
    let (mut old, _) = eventually(|| connect(going)).await;
    let (mut other, _) = eventually(|| connect(staying)).await;
    ports.apply(&[tcp(staying, &[&app])]);
    eventually(|| async {
        match TcpStream::connect(at(going)).await {
            Ok(_) => Err(io::Error::other("still open")),
            Err(_) => Ok(()),
        }
    })
    .await;
    for client in [&mut old, &mut other] {
        client.write_all(b"still here").await.expect("send");
        client.shutdown().await.expect("end");
        assert_eq!(rest(client).await.expect("answer"), b"still here");
    }
    ports.apply(&[tcp(going, &[&app])]);
    eventually(|| connect(going)).await;
}

#[tokio::test]
async fn connections_stay_with_their_instance_and_new_ones_go_to_the_new() {
    let (old, new, port) = (Echo::start("a").await, Echo::start("b").await, free_port().await);
    let ports = Ports::new(&[tcp(port, &[&old])]);
    let (mut client, name) = eventually(|| connect(port)).await;
    assert_eq!(name, 'a');
    ports.apply(&[tcp(port, &[&new])]);
    // No waiting: the table is in force as soon as it is applied.
    assert_eq!(connect(port).await.expect("open").1, 'b');
    client.write_all(b"held").await.expect("send");
    client.shutdown().await.expect("end");
    assert_eq!(rest(&mut client).await.expect("answer"), b"held");
}

#[tokio::test]
async fn the_instance_with_the_fewest_connections_gets_the_next_and_one_that_is_gone_none() {
    let (one, two, port) = (Echo::start("a").await, Echo::start("b").await, free_port().await);
    let gone = at(free_port().await);
    let mut three = tcp(port, &[&one, &two]);
    three.upstreams.push(crate::support::upstream(gone));
    let _ports = Ports::new(&[three]);
    let mut open = vec![eventually(|| connect(port)).await];
    for _ in 0..19 {
        open.push(connect(port).await.expect("one of the two"));
    }
    let count = |name| open.iter().filter(|(_, other)| *other == name).count();
    assert!((9..=11).contains(&count('a')), "{} of 20", count('a'));
    assert_eq!(count('a') + count('b'), 20);
}

#[tokio::test]
async fn who_is_not_let_in_and_who_is_too_many_is_shown_the_door() {
    let (app, closed, small) = (Echo::start("a").await, free_port().await, free_port().await);
    let elsewhere = "192.0.2.0/24".parse().expect("network");
    let ports = Ports::new(&[
        with(tcp(closed, &[&app]), |options| options.allow = vec![elsewhere]),
        with(tcp(small, &[&app]), |options| options.max_connections = 1),
    ]);
    let held = eventually(|| connect(small)).await;
    assert!(connect(small).await.is_err(), "one at a time");
    drop(held);
    eventually(|| connect(small)).await;
    let mut refused = eventually(|| TcpStream::connect(at(closed))).await;
    assert!(named(&mut refused).await.is_err());
    let here = "127.0.0.0/8".parse().expect("network");
    ports.apply(&[with(tcp(closed, &[&app]), |options| options.allow = vec![here])]);
    assert_eq!(connect(closed).await.expect("let in").1, 'a');
}

#[tokio::test]
async fn a_connection_on_which_nothing_moves_is_closed() {
    let (app, port) = (Echo::start("a").await, free_port().await);
    let _ports = Ports::new(&[with(tcp(port, &[&app]), |options| options.idle_timeout_s = Some(1))]);
    let (mut client, _) = eventually(|| connect(port)).await;
    assert_eq!(rest(&mut client).await.expect("an end"), b"");
}

#[tokio::test]
async fn the_proxy_speaks_tls_for_the_app_and_says_who_it_is_for() {
    let (app, port) = (Echo::start("a").await, free_port().await);
    let certificates = vec![certificate(&["db.test"])];
    let secure = with(tcp(port, &[&app]), |options| {
        options.tls = Some("db.test".to_owned());
        options.proxy_protocol = true;
    });
    let _ports = Ports::with(Options::default(), &[secure], certificates.clone());
    let trusted = [&certificates[0]];
    let mut client = eventually(|| tls(at(port), "db.test", &trusted, &[])).await;
    let from = client.get_ref().0.local_addr().expect("address");
    assert_eq!(client.read_u8().await.expect("the app speaks first"), b'a');
    client.write_all(b"hello").await.expect("send");
    client.shutdown().await.expect("end");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("answer");
    let (header, said) = answer.split_at(28);
    assert_eq!(said, b"hello");
    let sender = ingress::proxy_protocol::parse(header);
    let expected = ingress::proxy_protocol::Sender::Client { address: from.ip(), tls: false };
    assert_eq!(sender, Ok((expected, 28)));
    assert_eq!(header[24..26], from.port().to_be_bytes());
}

#[tokio::test]
async fn a_drain_lets_connections_end_and_cuts_those_that_do_not() {
    let (app, port) = (Echo::start("a").await, free_port().await);
    let ports = Ports::new(&[tcp(port, &[&app])]);
    let (mut one, _) = eventually(|| connect(port)).await;
    let (mut quiet, _) = connect(port).await.expect("open");
    ports.drain.begin();
    let finishing = ports.drain.finish(Duration::from_millis(500));
    let ending = async {
        one.write_all(b"bye").await.expect("send");
        one.shutdown().await.expect("end");
        rest(&mut one).await.expect("answer")
    };
    let (cut, answer) = tokio::join!(finishing, ending);
    assert_eq!((cut, answer.as_slice()), (1, &b"bye"[..]));
    assert!(rest(&mut quiet).await.is_ok_and(|left| left.is_empty()) || quiet.read_u8().await.is_err());
    assert!(TcpStream::connect(at(port)).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn connections_and_bytes_are_told_of_the_app() {
    let (app, port) = (Echo::start("a").await, free_port().await);
    let options = Options { traffic: true, ..Options::default() };
    let ports = Ports::with(options, &[tcp(port, &[&app])], Vec::new());
    let (mut client, _) = eventually(|| connect(port)).await;
    client.write_all(b"12345").await.expect("send");
    client.shutdown().await.expect("end");
    rest(&mut client).await.expect("answer");
    let told = ports.gateway.traffic();
    assert_eq!((told.len(), told[0].app.as_str(), told[0].connections), (1, "db", 1));
    assert_eq!((told[0].received_bytes, told[0].sent_bytes), (5, 6));
    assert_eq!(ports.gateway.traffic(), []);
}

#[tokio::test]
async fn streams_that_an_engine_cannot_serve_are_told_and_not_listened_on() {
    let port = free_port().await;
    let ports = Ports::new(&[]);
    let spec = [stream(StreamProtocol::Tcp, port, &[])];
    let gateway = ingress::Gateway::new(Options::default());
    let stop = tokio_util::sync::CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(ingress::streams::refuse(std::sync::Arc::clone(&gateway), "not here", stop.clone()));
    let ports = Ports { gateway, ..ports };
    ports.apply(&spec);
    let told = ports.problems(|told| !told.is_empty()).await;
    assert_eq!((told[0].port, told[0].problem.as_str()), (port, "not here"));
    ports.apply(&[]);
    ports.problems(<[_]>::is_empty).await;
    stop.cancel();
    assert!(tasks.join_next().await.expect("a task").is_ok());
}
