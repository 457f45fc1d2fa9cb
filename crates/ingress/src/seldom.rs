//! Waiting for what hardly ever happens, beside what happens all the time.
//!
//! A task that waits for several things polls them all whenever one of them moves. Tokens and timers take locks for
//! each look, which for a connection comes to several looks per request.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A future that is polled only after it was woken itself.
#[derive(Debug)]
pub(crate) struct Seldom<F> {
    future: Pin<Box<F>>,
    alarm: Arc<Alarm>,
    /// Of `alarm`, as what the future sees.
    waker: Waker,
    /// Who is told, to notice without the lock that it is still the same.
    told: Option<Waker>,
}

#[derive(Debug)]
struct Alarm {
    woken: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl<F: Future> Seldom<F> {
    pub(crate) fn new(future: F) -> Self {
        let alarm = Arc::new(Alarm { woken: AtomicBool::new(true), task: Mutex::default() });
        Self { future: Box::pin(future), waker: Arc::clone(&alarm).into(), alarm, told: None }
    }
}

impl<F: Future> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if self.told.as_ref().is_none_or(|told| !told.will_wake(cx.waker())) {
            self.told = Some(cx.waker().clone());
            self.alarm.task().clone_from(&self.told);
        }
        // After the waker is in its place: a wake from here on is heard.
        if !self.alarm.woken.load(Ordering::Relaxed) || !self.alarm.woken.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let Self { future, waker, .. } = &mut *self;
        future.as_mut().poll(&mut Context::from_waker(waker))
    }
}

impl Alarm {
    fn task(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        // Out of the lock first: whom it wakes may come to poll at once.
        let task = self.task().clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn it_is_not_looked_at_before_it_moves_and_then_it_is() {
        let (token, looks) = (CancellationToken::new(), AtomicUsize::new(0));
        let mut waiting = Box::pin(token.clone().cancelled_owned());
        let mut seldom = Seldom::new(std::future::poll_fn(|cx| {
            looks.fetch_add(1, Ordering::Relaxed);
            waiting.as_mut().poll(cx)
        }));
        for _ in 0..100 {
            tokio::select! {
                biased;
                () = &mut seldom => panic!("not cancelled"),
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(looks.load(Ordering::Relaxed), 1);
        let mut cancelling = JoinSet::new();
        cancelling.spawn(async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            token.cancel();
        });
        tokio::time::timeout(Duration::from_secs(10), &mut seldom).await.expect("heard");
    }

    #[tokio::test]
    async fn it_wakes_the_task_that_polled_last() {
        let token = CancellationToken::new();
        let mut seldom = Seldom::new(token.clone().cancelled_owned());
        assert!(tokio::time::timeout(Duration::ZERO, &mut seldom).await.is_err());
        let mut elsewhere = JoinSet::new();
        elsewhere.spawn(seldom);
        tokio::task::yield_now().await;
        token.cancel();
        let woken = tokio::time::timeout(Duration::from_secs(10), elsewhere.join_next()).await;
        woken.expect("woken").expect("one task").expect("no panic");
    }
}
