//! Which instance gets a request, and what happens when it does not answer.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{App, Edge, get, raw, route, spec, text};
use http_body_util::BodyExt;
use hyper::{Response, StatusCode};
use ingress::Options;
use protocol::spec::Route;
use protocol::spec::options::{Balance, Eject, Retry};

/// Answers with `status` and counts.
async fn counting(status: u16, asked: &Arc<AtomicUsize>) -> App {
    let asked = Arc::clone(asked);
    App::start(move |_| {
        asked.fetch_add(1, Ordering::Relaxed);
        async move {
            let mut response = Response::new(text(format!("answered {status}")));
            *response.status_mut() = StatusCode::from_u16(status).expect("status");
            response
        }
    })
    .await
}

fn with(upstreams: &[SocketAddr], change: impl FnOnce(&mut Route)) -> Edge {
    let mut route = route("app.test", upstreams);
    change(&mut route);
    let options = Options { upstream_timeout: Duration::from_secs(5), ..Options::default() };
    Edge::with(options, &spec(vec![route]))
}

async fn post(edge: &Edge) -> String {
    let request = "POST / HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\ncontent-length: 4\r\n\r\nonce";
    raw(edge.http, request).await
}

fn body(answer: &str) -> &str {
    answer.rsplit("\r\n").next().unwrap_or_default()
}

#[tokio::test]
async fn a_cookie_leads_back_to_the_same_instance_until_it_is_gone() {
    let (one, two) = (App::saying("one").await, App::saying("two").await);
    let mut shop = route("app.test", &[one.address, two.address]);
    shop.options.sticky = true;
    let mut wanted = spec(vec![shop]);
    let edge = Edge::new(&wanted);
    let first = get(edge.http, "app.test", "/").await;
    let cookie = first.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{cookie}");
    assert!(!cookie.contains("127") && !cookie.contains(&one.address.port().to_string()), "{cookie}");
    let pair = cookie.split(';').next().expect("a pair");
    let again = || async {
        let head =
            format!("GET / HTTP/1.1\r\nhost: app.test\r\ncookie: a=b; {pair}\r\nconnection: close\r\n\r\n");
        raw(edge.http, &head).await
    };
    for _ in 0..6 {
        let answer = again().await;
        assert_eq!(body(&answer), body(&first));
        assert!(!answer.contains("set-cookie"), "{answer}");
        assert_eq!(edge.gateway.apply(&wanted), []);
    }
    let gone = usize::from(body(&first) == "two");
    Arc::make_mut(&mut wanted.routes[0]).upstreams.remove(gone);
    assert_eq!(edge.gateway.apply(&wanted), []);
    let answer = again().await;
    assert_ne!(body(&answer), body(&first));
    assert!(answer.contains("set-cookie: wisehosting-instance="), "{answer}");
}

#[tokio::test]
async fn instances_take_turns() {
    let (one, two) = (App::saying("one").await, App::saying("two").await);
    let edge = with(&[one.address, two.address], |route| route.options.balance = Balance::RoundRobin);
    let mut before = String::new();
    for _ in 0..6 {
        let answer = get(edge.http, "app.test", "/").await;
        assert_ne!(body(&answer), before);
        before = body(&answer).to_owned();
    }
}

#[tokio::test]
async fn a_route_has_its_own_patience() {
    let silent = App::start(|_| std::future::pending()).await;
    let edge = with(&[silent.address], |route| route.options.timeout_s = Some(1));
    let started = Instant::now();
    assert!(get(edge.http, "app.test", "/").await.starts_with("HTTP/1.1 504"));
    assert!((900..3000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_get_that_one_instance_leaves_unanswered_goes_to_another_and_a_post_does_not() {
    let silent = App::start(|_| std::future::pending()).await;
    let alive = App::saying("alive").await;
    let edge = with(&[silent.address, alive.address], |route| {
        route.options.balance = Balance::RoundRobin;
        route.options.timeout_s = Some(2);
        route.options.retry = Retry { per_try_timeout_s: Some(1), ..Retry::default() };
    });
    for _ in 0..2 {
        assert!(get(edge.http, "app.test", "/").await.ends_with("alive"));
    }
    let statuses: BTreeSet<String> =
        [post(&edge).await, post(&edge).await].iter().map(|answer| answer[9..12].to_owned()).collect();
    assert_eq!(statuses, BTreeSet::from(["200".to_owned(), "504".to_owned()]));
}

#[tokio::test]
async fn gateway_errors_are_asked_again_elsewhere_only_where_that_is_wanted_and_safe() {
    let (bad_asked, good_asked) = (Arc::default(), Arc::default());
    let (bad, good) = (counting(503, &bad_asked).await, counting(200, &good_asked).await);
    let edge = with(&[bad.address, good.address], |route| {
        route.options.balance = Balance::RoundRobin;
        route.options.retry = Retry { on_gateway_error: true, ..Retry::default() };
    });
    for _ in 0..4 {
        assert!(get(edge.http, "app.test", "/").await.ends_with("answered 200"));
    }
    assert_eq!((bad_asked.load(Ordering::Relaxed), good_asked.load(Ordering::Relaxed)), (2, 4));
    let answers = [post(&edge).await, post(&edge).await].map(|answer| body(&answer).to_owned());
    assert!(answers.contains(&"answered 503".to_owned()), "{answers:?}");
    let alone = with(&[bad.address], |route| {
        route.options.retry = Retry { on_gateway_error: true, ..Retry::default() };
    });
    assert!(get(alone.http, "app.test", "/").await.ends_with("answered 503"), "the app's own words");
}

#[tokio::test]
async fn when_no_other_instance_does_better_the_first_answer_counts() {
    let asked = Arc::default();
    let bad = counting(503, &asked).await;
    let dead = App::saying("").await.stop().await;
    let edge = with(&[bad.address, dead], |route| {
        route.options.retry = Retry { on_gateway_error: true, ..Retry::default() };
    });
    for _ in 0..2 {
        assert!(get(edge.http, "app.test", "/").await.ends_with("answered 503"));
    }
}

#[tokio::test]
async fn one_attempt_is_one_instance() {
    let dead = App::saying("").await.stop().await;
    let alive = App::saying("alive").await;
    let edge = with(&[dead, alive.address], |route| {
        route.options.retry = Retry { attempts: 1, ..Retry::default() };
    });
    let answers = [get(edge.http, "app.test", "/").await, get(edge.http, "app.test", "/").await];
    assert!(answers.iter().any(|answer| answer.starts_with("HTTP/1.1 502")), "{answers:?}");
}

#[tokio::test]
async fn an_instance_that_fails_in_a_row_gets_no_requests_for_a_while() {
    let (bad_asked, good_asked) = (Arc::default(), Arc::default());
    let (bad, good) = (counting(502, &bad_asked).await, counting(200, &good_asked).await);
    let edge = with(&[bad.address, good.address], |route| {
        route.options.balance = Balance::RoundRobin;
        route.options.eject = Some(Eject { failures: 3, for_s: 1 });
    });
    for _ in 0..20 {
        get(edge.http, "app.test", "/").await;
    }
    assert_eq!(bad_asked.load(Ordering::Relaxed), 3);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for _ in 0..4 {
        get(edge.http, "app.test", "/").await;
    }
    assert_eq!(bad_asked.load(Ordering::Relaxed), 5, "it gets another chance");
}

#[tokio::test]
async fn clients_that_break_off_eject_nobody() {
    let reading = |says: &'static str| {
        App::start(move |request| async move {
            let _ = request.into_body().collect().await;
            Response::new(text(says))
        })
    };
    let (one, two) = (reading("one").await, reading("two").await);
    let edge = with(&[one.address, two.address], |route| {
        route.options.balance = Balance::RoundRobin;
        route.options.eject = Some(Eject { failures: 1, for_s: 60 });
    });
    for _ in 0..6 {
        let broken = "POST / HTTP/1.1\r\nhost: app.test\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\nnonsense\r\n";
        let answer = raw(edge.http, broken).await;
        assert!(!answer.starts_with("HTTP/1.1 502"), "{answer}");
    }
    let answers = [get(edge.http, "app.test", "/").await, get(edge.http, "app.test", "/").await];
    assert_ne!(body(&answers[0]), body(&answers[1]), "both still take turns");
}
