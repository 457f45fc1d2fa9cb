//! What probes of one peer came to. Pure: times come in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use protocol::report::Probes;

use super::search::Search;

/// How many of the last probes count: three minutes, the time for which a tunnel shakes hands again at the latest.
const KEPT: usize = 90;
/// A peer is silent after so many lost one after the other.
const SILENT: usize = 3;

/// A probe on its way.
#[derive(Debug, Clone, Copy)]
struct Outstanding {
    number: u64,
    sent: Instant,
    /// Of the whole packet, when its size is the question.
    size: Option<u16>,
}

#[derive(Debug)]
pub(super) struct Record {
    /// Time there and back of the last probes, the newest last; `None` was lost.
    last: VecDeque<Option<Duration>>,
    outstanding: Vec<Outstanding>,
    search: Search,
}

impl Record {
    pub(super) fn new(mtu: u16) -> Self {
        Self { last: VecDeque::with_capacity(KEPT), outstanding: Vec::new(), search: Search::new(mtu) }
    }

    /// Ends the round: what is still on its way is lost.
    pub(super) fn end_round(&mut self) {
        let lost = std::mem::take(&mut self.outstanding);
        if lost.iter().any(|probe| probe.size.is_none()) {
            self.note(None);
        }
        // A peer that does not answer at all says nothing about sizes.
        if self.last.back().is_some_and(Option::is_some) {
            for size in lost.iter().filter_map(|probe| probe.size) {
                self.search.tried(size, false);
            }
        }
    }

    /// The size of packet to try beside the probe of this round.
    pub(super) fn size(&mut self) -> Option<u16> {
        self.last.back()?.as_ref()?;
        self.search.next()
    }

    pub(super) fn sent(&mut self, number: u64, sent: Instant, size: Option<u16>) {
        self.outstanding.push(Outstanding { number, sent, size });
    }

    /// An answer came. Late and foreign ones are ignored.
    pub(super) fn answered(&mut self, number: u64, now: Instant) {
        let Some(index) = self.outstanding.iter().position(|probe| probe.number == number) else { return };
        let probe = self.outstanding.swap_remove(index);
        match probe.size {
            Some(size) => self.search.tried(size, true),
            None => self.note(Some(now.saturating_duration_since(probe.sent))),
        }
    }

    fn note(&mut self, took: Option<Duration>) {
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(took);
    }

    /// Whether it answers: `None` before anything can be said.
    pub(super) fn answers(&self) -> Option<bool> {
        match self.last.back()? {
            Some(_) => Some(true),
            None if self.silent() >= SILENT => Some(false),
            None => None,
        }
    }

    fn silent(&self) -> usize {
        self.last.iter().rev().take_while(|took| took.is_none()).count()
    }

    pub(super) fn probes(&self) -> Option<Probes> {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let mut times: Vec<Duration> = self.last.iter().copied().flatten().collect();
        times.sort_unstable();
        (!self.last.is_empty()).then(|| Probes {
            sent: number(self.last.len()),
            lost: number(self.last.len() - times.len()),
            silent: number(self.silent()),
            rtt_us: times
                .get(times.len() / 2)
                .map(|took| u32::try_from(took.as_micros()).unwrap_or(u32::MAX)),
            mtu: self.search.result(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One round after the other: an answer after so many milliseconds, or none.
    fn record(rounds: &[Option<u64>]) -> Record {
        let mut record = Record::new(1420);
        for (number, took) in (1..).zip(rounds) {
            record.end_round();
            let sent = Instant::now();
            record.sent(number, sent, None);
            if let Some(took) = took {
                record.answered(number, sent + Duration::from_millis(*took));
            }
        }
        record.end_round();
        record
    }

    #[test]
    fn losses_and_the_median_are_counted_over_the_last_rounds() {
        assert_eq!(Record::new(1420).probes(), None);
        let probes = record(&[Some(1), Some(9), None, Some(2)]).probes().expect("some");
        assert_eq!((probes.sent, probes.lost, probes.silent, probes.rtt_us), (4, 1, 0, Some(2000)));
        let old = [Some(1)].repeat(KEPT);
        let probes = record(&[old, [None].repeat(KEPT)].concat()).probes().expect("some");
        assert_eq!((probes.sent, probes.lost, probes.rtt_us), (90, 90, None));
    }

    #[test]
    fn a_peer_is_silent_after_three_and_back_after_one() {
        assert_eq!(record(&[]).answers(), None);
        assert_eq!(record(&[Some(1), None, None]).answers(), None);
        assert_eq!(record(&[Some(1), None, None, None]).answers(), Some(false));
        assert_eq!(record(&[None, None, None, Some(1)]).answers(), Some(true));
    }

    #[test]
    fn an_answer_counts_once_and_only_in_its_round() {
        let mut record = record(&[None]);
        record.answered(1, Instant::now());
        record.sent(2, Instant::now(), None);
        record.answered(2, Instant::now());
        record.answered(2, Instant::now());
        let probes = record.probes().expect("some");
        assert_eq!((probes.sent, probes.lost), (2, 1));
    }

    #[test]
    fn sizes_are_tried_while_the_peer_answers_and_not_held_against_a_silent_one() {
        let (mut record, now) = (record(&[Some(1)]), Instant::now());
        for number in 10..14 {
            record.sent(number, now, None);
            if let Some(size) = record.size() {
                record.sent(100 + number, now, Some(size));
            }
            record.end_round();
        }
        assert_eq!(record.size(), None, "the peer is silent");
        record.sent(20, now, None);
        record.answered(20, now);
        assert_eq!(record.size(), Some(1420));
        for number in 30..33 {
            record.sent(number, now, None);
            record.answered(number, now);
            record.sent(100 + number, now, Some(1420));
            record.end_round();
        }
        assert_eq!(record.size(), Some(998), "halfway to the smallest");
    }
}
