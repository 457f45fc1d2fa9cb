//! Requests of an app that are told whole.

use std::collections::VecDeque;

use protocol::traffic::{AccessSample, MAX_SAMPLES};

use super::budget::Budget;

/// The newest ones since the last drain, errors before others.
#[derive(Debug, Default)]
pub(super) struct Samples {
    errors: VecDeque<AccessSample>,
    others: VecDeque<AccessSample>,
    /// Taken of the budget.
    bytes: usize,
}

impl Samples {
    pub(super) fn add(&mut self, sample: AccessSample, budget: &Budget) {
        let is_error = sample.status >= 500;
        if self.errors.len() + self.others.len() >= MAX_SAMPLES {
            let older = match (self.others.pop_front(), is_error) {
                (Some(other), _) => Some(other),
                (None, true) => self.errors.pop_front(),
                (None, false) => return,
            };
            let freed = older.as_ref().map_or(0, size_of);
            self.bytes -= freed;
            budget.give_back(freed);
        }
        let bytes = size_of(&sample);
        if !budget.take(bytes) {
            return;
        }
        self.bytes += bytes;
        if is_error { &mut self.errors } else { &mut self.others }.push_back(sample);
    }

    pub(super) fn drain(&mut self, budget: &Budget) -> Vec<AccessSample> {
        budget.give_back(std::mem::take(&mut self.bytes));
        std::mem::take(&mut self.errors).into_iter().chain(std::mem::take(&mut self.others)).collect()
    }
}

fn size_of(sample: &AccessSample) -> usize {
    let AccessSample { method, host, path, protocol, user_agent, referer, .. } = sample;
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    std::mem::size_of::<AccessSample>()
        + method.len()
        + host.len()
        + path.len()
        + protocol.len()
        + optional(user_agent)
        + optional(referer)
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    fn sample(status: u16, path: usize) -> AccessSample {
        AccessSample {
            at: Utc::now(),
            method: "GET".to_owned(),
            host: "app.test".to_owned(),
            path: format!("/{path}"),
            status,
            took_us: 1,
            received_bytes: 0,
            sent_bytes: 0,
            client: [192, 0, 2, 1].into(),
            protocol: "HTTP/1.1".to_owned(),
            tls: false,
            user_agent: None,
            referer: None,
            upstream: None,
        }
    }

    #[test]
    fn errors_stay_before_others_and_newer_ones_before_older_ones() {
        let (mut samples, budget) = (Samples::default(), Budget::new(1 << 20));
        for number in 0..MAX_SAMPLES * 2 {
            samples.add(sample(200, number), &budget);
        }
        for number in 0..10 {
            samples.add(sample(503, number), &budget);
        }
        let told = samples.drain(&budget);
        let statuses = |status| told.iter().filter(|sample| sample.status == status).count();
        assert_eq!((statuses(503), statuses(200)), (10, MAX_SAMPLES - 10));
        assert_eq!(told[0].status, 503);
        assert_eq!(told.last().map(|sample| sample.path.as_str()), Some("/99"));

        for number in 0..MAX_SAMPLES * 2 {
            samples.add(sample(502, number), &budget);
        }
        samples.add(sample(200, 0), &budget);
        let told = samples.drain(&budget);
        assert_eq!((told.len(), told[0].path.as_str()), (MAX_SAMPLES, "/50"));
        assert!(budget.take(1 << 20), "all room is given back");
    }

    #[test]
    fn without_room_none_is_kept() {
        let (mut samples, budget) = (Samples::default(), Budget::new(10));
        samples.add(sample(500, 1), &budget);
        assert_eq!(samples.drain(&budget), []);
    }
}
