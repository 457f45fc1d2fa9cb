//! Published attacks on HTTP/2 servers, mounted against a real listener: memory and work stay bounded, the attacker is
//! cut off or held back, and others are served meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use ingress::Options;
use protocol::spec::ProxySpec;

use crate::support::{App, Edge, certificate, get, route, spec, text, tls};
use crate::wire::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, Wire, field,
    frame, get as block,
};

const ENHANCE_YOUR_CALM: u32 = 11;
const CANCEL: [u8; 4] = 8_u32.to_be_bytes();
const MIB: usize = 1024 * 1024;

/// `fast.test` answers at once, `hang.test` never, `large.test` with 64 MiB.
struct Target {
    edge: Edge,
    wanted: ProxySpec,
    asked: Arc<AtomicUsize>,
    _apps: [App; 3],
}

async fn target() -> Target {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let fast = App::saying("hello").await;
    let hang = App::start(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::pending()
    })
    .await;
    let large = App::start(|_| async {
        let piece = Bytes::from(vec![7; 65_536]);
        let pieces = (0..1024).map(move |_| Ok(Frame::data(piece.clone())));
        Response::new(BodyExt::boxed(StreamBody::new(futures_util::stream::iter(pieces))))
    })
    .await;
    let routes = [("fast.test", &fast), ("hang.test", &hang), ("large.test", &large)];
    let mut wanted = spec(routes.iter().map(|(host, app)| route(host, &[app.address])).collect());
    wanted.certificates.push(certificate(&["fast.test", "hang.test", "large.test"]));
    let mut options = Options::default();
    options.limits.download_stall = Duration::from_secs(2);
    let edge = Edge::with(options, &wanted);
    Target { edge, wanted, asked, _apps: [fast, hang, large] }
}

impl Target {
    async fn attacker(&self, settings: &[(u16, u32)]) -> Wire {
        let trusted = [&self.wanted.certificates[0]];
        let stream = tls(self.edge.https, "fast.test", &trusted, &["h2"]).await.expect("handshake");
        Wire::open(stream, settings).await
    }

    async fn serves_others(&self) {
        let begun = Instant::now();
        let answer = get(self.edge.http, "fast.test", "/").await;
        assert!(answer.ends_with("hello"), "{answer}");
        assert!(begun.elapsed() < Duration::from_secs(2), "took {:?}", begun.elapsed());
    }
}

/// Memory of this process. Other tests run beside, so that bounds are generous and attacks large.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("statm");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("pages") * 4096
}

fn stream(number: u32) -> u32 {
    number * 2 + 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_end_the_connection_and_do_not_reach_the_app() {
    let target = target().await;
    let mut wire = target.attacker(&[]).await;
    let mut sent = 0;
    for batch in 0..200 {
        let burst: Vec<u8> = (batch * 100..(batch + 1) * 100)
            .flat_map(|number| {
                let begin = frame(HEADERS, END_HEADERS | END_STREAM, stream(number), &block("hang.test"));
                [begin, frame(RST_STREAM, 0, stream(number), &CANCEL)].concat()
            })
            .collect();
        if wire.closed() || !wire.send(&burst).await {
            break;
        }
        sent += 100;
        target.serves_others().await;
    }
    assert!(wire.ends(Duration::from_secs(5)).await);
    assert!(sent < 2000, "{sent} requests before the end");
    let asked = target.asked.load(Ordering::Relaxed);
    assert!(asked < 500, "{asked} requests reached the app");
    target.serves_others().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_that_wait_until_the_app_is_asked_end_the_connection_too() {
    let target = target().await;
    let mut wire = target.attacker(&[]).await;
    let mut sent = 0;
    for number in 0..1000 {
        let begin = frame(HEADERS, END_HEADERS | END_STREAM, stream(number), &block("hang.test"));
        if wire.closed() || !wire.send(&begin).await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
        if !wire.send(&frame(RST_STREAM, 0, stream(number), &CANCEL)).await {
            break;
        }
        sent += 1;
    }
    assert!(wire.ends(Duration::from_secs(5)).await);
    assert!((100..200).contains(&sent), "{sent} requests before the end");
    target.serves_others().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_continuations_end_the_connection() {
    let target = target().await;
    let before = resident();
    for large in [true, false] {
        let mut wire = target.attacker(&[]).await;
        assert!(wire.send(&frame(HEADERS, END_STREAM, 1, &block("fast.test"))).await);
        let payload = if large { field("x-padding", &[b'a'; 16_000]) } else { Vec::new() };
        let piece = frame(CONTINUATION, 0, 1, &payload);
        let mut sent = 0;
        while sent < 64 * MIB && !wire.closed() && wire.send(&piece).await {
            sent += piece.len();
        }
        assert!(wire.ends(Duration::from_secs(5)).await);
        assert!(sent < 8 * MIB, "{sent} bytes before the end");
        target.serves_others().await;
    }
    assert!(resident().saturating_sub(before) < 100 * MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_that_unfolds_to_megabytes_is_refused() {
    let target = target().await;
    let before = resident();
    let mut wire = target.attacker(&[]).await;
    // A field of 3 KiB enters the table once and is named 10,000 times: 30 MiB out of 13 KiB.
    let value = [&[0x40, 1, b'x', 0x7f, 0x81, 0x17][..], &[b'a'; 3072]].concat();
    let bomb = [&block("fast.test")[..], &value, &vec![0xbe; 10_000]].concat();
    assert!(wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb)).await);
    let answered =
        wire.wait(|frame| [HEADERS, RST_STREAM, GOAWAY].contains(&frame.kind).then_some(frame.kind)).await;
    assert!(answered.is_some() || wire.closed());
    assert!(resident().saturating_sub(before) < 100 * MIB);
    target.serves_others().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_and_settings_whose_answers_nobody_reads_are_held_back() {
    let target = target().await;
    let before = resident();
    for piece in [frame(PING, 0, 0, &[1; 8]), frame(SETTINGS, 0, 0, &[])] {
        let trusted = [&target.wanted.certificates[0]];
        let mut stream = tls(target.edge.https, "fast.test", &trusted, &["h2"]).await.expect("handshake");
        let hello = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat();
        let burst = piece.repeat(4096);
        let sending = async {
            use tokio::io::AsyncWriteExt as _;
            stream.write_all(&hello).await?;
            for _ in 0..64 * MIB / burst.len() {
                stream.write_all(&burst).await?;
            }
            Ok::<_, std::io::Error>(())
        };
        // It stops reading once it cannot answer: 64 MiB do not go through.
        let sent = tokio::time::timeout(Duration::from_secs(3), sending).await;
        assert!(!matches!(sent, Ok(Ok(()))), "all was taken");
        target.serves_others().await;
    }
    assert!(resident().saturating_sub(before) < 100 * MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_and_settings_that_are_answered_keep_nobody_else_waiting() {
    let target = target().await;
    let mut wire = target.attacker(&[]).await;
    for piece in [frame(PING, 0, 0, &[1; 8]), frame(SETTINGS, 0, 0, &[])] {
        for _ in 0..10 {
            if !wire.send(&piece.repeat(1000)).await {
                return;
            }
            target.serves_others().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_and_tiny_data_frames_end_the_connection() {
    let target = target().await;
    for payload in [&b""[..], b"x"] {
        let mut wire = target.attacker(&[]).await;
        let post = [&[0x83, 0x87, 0x84][..], &field(":authority", b"hang.test")].concat();
        assert!(wire.send(&frame(HEADERS, END_HEADERS, 1, &post)).await);
        let burst = frame(DATA, 0, 1, payload).repeat(1000);
        let mut bursts = 0;
        while bursts < 1000 && !wire.closed() && wire.send(&burst).await {
            bursts += 1;
        }
        assert!(bursts < 1000, "a million frames were taken");
        let reason = wire.goaway().await;
        // A window that is used up and not given back ends it as well.
        assert!(reason.is_none() || reason == Some(ENHANCE_YOUR_CALM) || reason == Some(3), "{reason:?}");
        target.serves_others().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_a_client_gives_no_window_for_are_not_collected_and_are_cut() {
    let target = target().await;
    let before = resident();
    // SETTINGS_INITIAL_WINDOW_SIZE is 0: 100 answers of 64 MiB may begin and not go on.
    let mut wire = target.attacker(&[(4, 0)]).await;
    for number in 0..100 {
        let begin = frame(HEADERS, END_HEADERS | END_STREAM, stream(number), &block("large.test"));
        assert!(wire.send(&begin).await);
    }
    let heads = async {
        while wire.count(HEADERS) < 100 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), heads).await.expect("heads are sent without a window");
    assert_eq!(wire.count(DATA), 0);
    let grown = resident().saturating_sub(before);
    assert!(grown < 150 * MIB, "{} MiB for 6400 MiB of answers", grown / MIB);
    target.serves_others().await;
    let cut = async {
        while wire.count(RST_STREAM) < 100 && !wire.closed() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), cut).await.expect("stalled streams are cut");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_streams_than_offered_are_refused_and_then_the_connection_ends() {
    let target = target().await;
    let mut wire = target.attacker(&[]).await;
    for number in 0..2000 {
        let begin = frame(HEADERS, END_HEADERS | END_STREAM, stream(number), &block("hang.test"));
        if !wire.send(&begin).await {
            break;
        }
    }
    assert!(wire.ends(Duration::from_secs(5)).await);
    let asked = target.asked.load(Ordering::Relaxed);
    assert!(asked <= 128, "{asked} at once");
    target.serves_others().await;
}

#[tokio::test]
async fn text_is_not_taken_for_http2() {
    let app = App::start(|_| async { Response::new(text("hello")) }).await;
    let edge = Edge::new(&spec(vec![route("fast.test", &[app.address])]));
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let answer = crate::support::raw(edge.http, preface).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5"),
        "{answer}"
    );
}
