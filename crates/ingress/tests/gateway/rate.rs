//! Requests per client.

use crate::support::{App, Edge, get, raw, route, spec};
use protocol::spec::options::RateLimit;

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back_even_after_a_table_swap() {
    let app = App::saying("hello").await;
    let mut shop = route("app.test", &[app.address]);
    shop.options.rate_limit = Some(RateLimit { requests: 1, per_s: 60, burst: Some(2) });
    let wanted = spec(vec![shop, route("free.test", &[app.address])]);
    let edge = Edge::new(&wanted);
    for _ in 0..2 {
        assert!(get(edge.http, "app.test", "/").await.ends_with("hello"));
        assert_eq!(edge.gateway.apply(&wanted), []);
    }
    let request = "GET / HTTP/1.1\r\nhost: app.test\r\naccept: application/json\r\nconnection: close\r\n\r\n";
    let answer = raw(edge.http, request).await;
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains(r#""code":"rate_limited""#), "{answer}");
    let wait = answer.lines().find_map(|line| line.strip_prefix("retry-after: ")).expect("a wait");
    assert!((50..=60).contains(&wait.parse::<u64>().expect("seconds")), "{wait}");
    for _ in 0..5 {
        assert!(get(edge.http, "free.test", "/").await.ends_with("hello"), "other routes are free");
    }
}
