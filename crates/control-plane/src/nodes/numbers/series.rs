//! Numbers of a span of time, in steps.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use protocol::numbers::Space;
use serde::Serialize;

use crate::traffic::range::Window;

/// How a host did in one step.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct NodePoint {
    /// Begin of the step.
    pub at: DateTime<Utc>,
    /// The mean of all processors together, 0 to 100.
    pub cpu_percent: f32,
    /// The most of a single reading.
    pub cpu_most_percent: f32,
    /// The mean.
    pub load: f32,
    /// The most that was used, as of all spaces.
    pub memory: Space,
    pub swap: Space,
    pub root: Space,
    pub containers: Option<Space>,
    pub received_bytes: u64,
    pub sent_bytes: u64,
}

/// Minutes or hours as points, one for each step that has any.
pub fn add_up(window: &Window, rows: Vec<NodePoint>) -> Vec<NodePoint> {
    let mut steps: BTreeMap<DateTime<Utc>, Vec<NodePoint>> = BTreeMap::new();
    for row in rows {
        steps.entry(window.step_of(row.at)).or_default().push(row);
    }
    steps.into_iter().filter_map(|(at, rows)| one(at, &rows)).collect()
}

fn one(at: DateTime<Utc>, rows: &[NodePoint]) -> Option<NodePoint> {
    let newest = rows.iter().max_by_key(|row| row.at)?;
    #[expect(clippy::cast_precision_loss, reason = "a step has some hundred rows at most")]
    let mean = |of: fn(&NodePoint) -> f32| rows.iter().map(of).sum::<f32>() / rows.len() as f32;
    let most = |of: fn(&NodePoint) -> Option<Space>| {
        let used_bytes = rows.iter().filter_map(of).map(|space| space.used_bytes).max()?;
        Some(Space { used_bytes, total_bytes: of(newest)?.total_bytes })
    };
    let sum = |of: fn(&NodePoint) -> u64| rows.iter().map(of).fold(0, u64::saturating_add);
    Some(NodePoint {
        at,
        cpu_percent: mean(|row| row.cpu_percent),
        cpu_most_percent: rows.iter().map(|row| row.cpu_most_percent).fold(0.0, f32::max),
        load: mean(|row| row.load),
        memory: most(|row| Some(row.memory)).unwrap_or_default(),
        swap: most(|row| Some(row.swap)).unwrap_or_default(),
        root: most(|row| Some(row.root)).unwrap_or_default(),
        containers: most(|row| row.containers),
        received_bytes: sum(|row| row.received_bytes),
        sent_bytes: sum(|row| row.sent_bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::range::Range;

    fn row(at: &str, cpu: f32, used_bytes: u64) -> NodePoint {
        let space = Space { used_bytes, total_bytes: 100 };
        NodePoint {
            at: at.parse().expect("time"),
            cpu_percent: cpu,
            cpu_most_percent: cpu * 2.0,
            load: cpu / 10.0,
            memory: space,
            swap: Space::default(),
            root: space,
            containers: (used_bytes > 50).then_some(space),
            received_bytes: 10,
            sent_bytes: 1,
        }
    }

    #[test]
    fn minutes_of_a_step_are_one_point_and_steps_without_any_are_left_out() {
        let window = Range::Day.window("2026-11-22T13:37:42Z".parse().expect("time"));
        let rows = vec![
            row("2026-11-22T10:04:00Z", 30.0, 40),
            row("2026-11-22T10:00:00Z", 10.0, 60),
            row("2026-11-22T12:00:00Z", 5.0, 20),
        ];
        let points = add_up(&window, rows);
        assert_eq!(points.len(), 2, "{points:?}");
        let first = &points[0];
        assert_eq!((first.cpu_percent, first.cpu_most_percent, first.load), (20.0, 60.0, 2.0));
        assert_eq!((first.memory.used_bytes, first.received_bytes, first.sent_bytes), (60, 20, 2));
        assert_eq!(first.containers, None, "they are on the root's disk by now");
        assert_eq!(points[1].root, Space { used_bytes: 20, total_bytes: 100 });
    }
}
