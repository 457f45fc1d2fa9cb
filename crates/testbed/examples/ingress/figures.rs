//! What was measured, and whether it is what it should be, as one line of JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::engine::Kind;
use crate::load::Report;

/// The figures of one engine in one case, of each round.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// What counts: CPU seconds per 100,000 requests, unless the case says otherwise.
    pub(crate) values: Vec<f64>,
    pub(crate) reports: Vec<Report>,
    pub(crate) resident_mib: f64,
}

pub(crate) type All = BTreeMap<Kind, Figures>;

/// What is wanted of our figure.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    /// At most so many times another one's.
    AtMost(Kind, f64),
    /// At least so many times another one's.
    AtLeast(Kind, f64),
    /// At most this.
    Value(f64),
    /// At most so much memory, whatever the figure.
    ResidentMib(f64),
}

/// One line, before its figures are known.
pub(crate) struct Line {
    case: String,
    metric: &'static str,
    unit: &'static str,
    bounds: Vec<Bound>,
}

impl Figures {
    fn value(&self) -> f64 {
        median(self.values.clone())
    }

    fn details(&self) -> Value {
        let of = |field: fn(&Report) -> f64| round(median(self.reports.iter().map(field).collect()));
        let rounds: Vec<_> = self.values.iter().copied().map(round).collect();
        let mut details = json!({ "value": round(self.value()), "rounds": rounds });
        if self.resident_mib > 0.0 {
            details["resident_mib"] = json!(round(self.resident_mib));
        }
        if !self.reports.is_empty() {
            details["per_s"] = json!(of(|report| report.per_second));
            details["p50_ms"] = json!(of(|report| report.p50_ms));
            details["p99_ms"] = json!(of(|report| report.p99_ms));
        }
        details
    }
}

impl Line {
    pub(crate) fn new(case: &str, metric: &'static str, unit: &'static str) -> Self {
        Self { case: case.to_owned(), metric, unit, bounds: Vec::new() }
    }

    pub(crate) fn bound(mut self, bounds: impl IntoIterator<Item = Bound>) -> Self {
        self.bounds.extend(bounds);
        self
    }

    /// `value` is ours; `ratio` is that to each other engine's; `target` what it should be, and `met` whether it is.
    pub(crate) fn json(self, all: &All) -> Value {
        let ours = &all[&Kind::Ours];
        let others = all.iter().filter(|(kind, _)| **kind != Kind::Ours);
        let ratios: BTreeMap<_, _> =
            others.map(|(kind, figures)| (kind.name(), median(ratios(ours, figures)))).collect();
        let met = |bound: &Bound| match *bound {
            Bound::AtMost(kind, most) => ratios[kind.name()] <= most,
            Bound::AtLeast(kind, least) => ratios[kind.name()] >= least,
            Bound::Value(most) => ours.value() <= most,
            Bound::ResidentMib(most) => ours.resident_mib <= most,
        };
        let targets: BTreeMap<_, _> = self.bounds.iter().map(Bound::told).collect();
        let met = (!self.bounds.is_empty()).then(|| self.bounds.iter().all(met));
        json!({
            "bench": "ingress",
            "case": self.case,
            "metric": self.metric,
            "value": round(ours.value()),
            "unit": self.unit,
            "ratio": ratios.iter().map(|(name, ratio)| (name, round(*ratio))).collect::<BTreeMap<_, _>>(),
            "target": targets,
            "met": met,
            "engines": all.iter().map(|(kind, figures)| (kind.name(), figures.details())).collect::<BTreeMap<_, _>>(),
        })
    }
}

impl Bound {
    fn told(&self) -> (String, f64) {
        match *self {
            Self::AtMost(kind, most) => (format!("at most x {}", kind.name()), most),
            Self::AtLeast(kind, least) => (format!("at least x {}", kind.name()), least),
            Self::Value(most) => ("at most".to_owned(), most),
            Self::ResidentMib(most) => ("resident_mib at most".to_owned(), most),
        }
    }
}

/// Round by round: what disturbs the machine in one of them disturbs both, and the median of the ratios is surer than
/// the ratio of the medians.
fn ratios(ours: &Figures, other: &Figures) -> Vec<f64> {
    ours.values.iter().zip(&other.values).map(|(ours, other)| ours / other).collect()
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
