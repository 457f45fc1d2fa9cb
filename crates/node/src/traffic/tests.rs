use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use protocol::traffic::PathTraffic;
use tokio::sync::Notify;

use super::*;

const SOON: Duration = Duration::from_secs(10);

/// A control plane: keeps what comes, and acknowledges it while it is up.
#[derive(Default)]
struct Hub {
    up: AtomicBool,
    changed: Notify,
    received: Mutex<Vec<TrafficReport>>,
}

impl Hub {
    fn set(&self, up: bool) {
        self.up.store(up, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Requests by report number; a report that came twice counts once.
    fn requests(&self) -> Vec<(u64, u64)> {
        let received = self.received.lock().expect("lock");
        let mut seen: Vec<(u64, u64)> = received
            .iter()
            .map(|report| (report.number, report.apps.iter().flat_map(|app| app.requests).sum()))
            .collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    }

    async fn until(&self, requests: u64) {
        let all = async {
            while self.requests().iter().map(|(_, requests)| requests).sum::<u64>() < requests {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, all).await.expect("in time");
    }
}

impl Uplink for Arc<Hub> {
    async fn deliver(&self, message: FromAgent) -> Result<(), SendError> {
        let FromAgent::Traffic(report) = message else { panic!("{message:?}") };
        loop {
            let changed = self.changed.notified();
            if self.up.load(Ordering::SeqCst) {
                break;
            }
            changed.await;
        }
        self.received.lock().expect("lock").push(report);
        Ok(())
    }

    fn is_connected(&self) -> bool {
        self.up.load(Ordering::SeqCst)
    }
}

/// An ingress whose requests are numbers.
#[derive(Default)]
struct Ingress {
    requests: AtomicU64,
    asked: AtomicU64,
}

impl Ingress {
    fn reports(self: &Arc<Self>) -> Reports {
        let ingress = Arc::clone(self);
        let source = move || {
            ingress.asked.fetch_add(1, Ordering::SeqCst);
            match ingress.requests.swap(0, Ordering::SeqCst) {
                0 => Vec::new(),
                requests => vec![app("a", requests)],
            }
        };
        Reports { every: Duration::from_millis(5), ..Reports::new(source) }
    }

    fn serve(&self, requests: u64) {
        self.requests.fetch_add(requests, Ordering::SeqCst);
    }
}

fn app(name: &str, requests: u64) -> AppTraffic {
    AppTraffic { app: name.to_owned(), requests: [0, requests, 0, 0, 0], ..AppTraffic::default() }
}

/// Runs reports until `during` ends, and to their own end.
async fn reporting(reports: &mut Reports, hub: &Arc<Hub>, during: impl Future<Output = ()>) {
    let (stop, after) = (CancellationToken::new(), CancellationToken::new());
    let ended = async {
        during.await;
        stop.cancel();
        after.cancelled().await;
    };
    let run = reports.run(hub, stop.clone(), after.clone());
    let (ran, ()) = tokio::time::timeout(SOON, async { tokio::join!(run, ended) }).await.expect("in time");
    ran.expect("a soft end");
}

#[tokio::test]
async fn what_adds_up_while_the_link_is_down_is_told_in_one_report() {
    let (hub, ingress) = (Arc::<Hub>::default(), Arc::<Ingress>::default());
    let mut reports = ingress.reports();
    hub.set(true);
    reporting(&mut reports, &hub, async {
        ingress.serve(1);
        hub.until(1).await;
        hub.set(false);
        ingress.serve(10);
        // Taken, and stuck on its way.
        while ingress.requests.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let asked = ingress.asked.load(Ordering::SeqCst);
        for _ in 0..20 {
            ingress.serve(5);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(ingress.asked.load(Ordering::SeqCst), asked, "one window is outstanding at most");
        hub.set(true);
        hub.until(111).await;
    })
    .await;
    assert_eq!(hub.requests(), [(1, 1), (2, 10), (3, 100)]);
}

#[tokio::test]
async fn the_last_window_is_told_at_the_end_and_quiet_ones_are_not() {
    let (hub, ingress) = (Arc::<Hub>::default(), Arc::<Ingress>::default());
    let mut reports = Reports { every: Duration::from_mins(10), ..ingress.reports() };
    hub.set(true);
    reporting(&mut reports, &hub, async {
        // The first tick comes at once.
        while ingress.asked.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(hub.requests().is_empty());
        ingress.serve(7);
    })
    .await;
    assert_eq!(hub.requests(), [(1, 7)]);
}

#[tokio::test]
async fn without_a_control_plane_the_end_does_not_wait_and_the_next_link_tells_it() {
    let (hub, ingress) = (Arc::<Hub>::default(), Arc::<Ingress>::default());
    let mut reports = ingress.reports();
    ingress.serve(3);
    reporting(&mut reports, &hub, async {
        while ingress.requests.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert!(hub.requests().is_empty());
    ingress.serve(4);
    hub.set(true);
    reporting(&mut reports, &hub, hub.until(7)).await;
    assert_eq!(hub.requests(), [(1, 3), (2, 4)]);
}

#[test]
fn reports_stay_below_what_the_link_carries_and_leave_nothing_out() {
    let long =
        |number: usize| PathTraffic { path: format!("/{number}{}", "x".repeat(250)), ..Default::default() };
    let large: Vec<AppTraffic> = (0..150)
        .map(|number| AppTraffic { paths: (0..20).map(long).collect(), ..app(&number.to_string(), 1) })
        .collect();
    for (apps, most) in [(large, 3), ((0..1001).map(|number| app(&number.to_string(), 1)).collect(), 6)] {
        let parts = split(apps.clone());
        assert!(parts.len() > 1 && parts.len() <= most, "{}", parts.len());
        for part in &parts {
            let report = TrafficReport { run: Uuid::now_v7(), number: 1, at: Utc::now(), apps: part.clone() };
            assert!(part.len() <= MAX_APPS);
            assert!(FromAgent::Traffic(report).payload().get().len() < MAX_FROM_AGENT * 3 / 4);
        }
        assert_eq!(parts.concat(), apps);
    }
    assert!(split(Vec::new()).is_empty());
}
