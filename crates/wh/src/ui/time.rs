//! Durations, ages and sizes in few characters; durations as people type them.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// `0.4 s`, `12 s`, `3m 05s`, `2h 10m`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Between two times; clocks that disagree give zero.
pub(crate) fn between(start: DateTime<Utc>, end: DateTime<Utc>) -> Duration {
    (end - start).to_std().unwrap_or_default()
}

/// `now`, `40s ago`, `3m ago`, `5h ago`, `12d ago`.
pub(crate) fn age(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = between(at, now).as_secs();
    match seconds {
        0..5 => "now".to_owned(),
        5..60 => format!("{seconds}s ago"),
        60..3600 => format!("{}m ago", seconds / 60),
        3600..86_400 => format!("{}h ago", seconds / 3600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

/// `now`, `in 40s`, `in 3m`, `in 5h`.
pub(crate) fn until(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = between(now, at).as_secs();
    match seconds {
        0 => "now".to_owned(),
        1..60 => format!("in {seconds}s"),
        60..3600 => format!("in {}m", seconds / 60),
        _ => format!("in {}h", seconds / 3600),
    }
}

/// Age of a time that may be missing.
pub(crate) fn age_of(at: Option<DateTime<Utc>>) -> String {
    at.map(|at| age(at, Utc::now())).unwrap_or_default()
}

/// `512 B`, `32 KiB`, `1.5 MiB`.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" || value >= 10.0 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

/// Reads `30s`, `10m`, `2h`, `7d` or plain seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("must be a number with s, m, h or d, for example 90s or 10m".to_owned()),
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)) {
        Some(seconds) if (1..=31_536_000).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err("must be between 1s and 365d, for example 90s or 10m".to_owned()),
    }
}

/// Reads `500ms`, `2s`, `1m`.
pub(crate) fn parse_short(text: &str) -> Result<Duration, String> {
    let wrong = || "must be a number with ms, s or m, for example 500ms or 2s".to_owned();
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).map(Duration::from_millis).ok_or_else(wrong)
}

/// `0.4 ms`, `12 ms`, `1.25 s`.
pub(crate) fn ms(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.2} s", ms / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_times_are_read_and_shown() {
        for (text, read) in [("500ms", 500), ("2s", 2000), ("1m", 60_000)] {
            assert_eq!(parse_short(text), Ok(Duration::from_millis(read)));
        }
        for wrong in ["", "500", "ms", "2h", "-1s", "99999999999999999999s", "18446744073709551615m"] {
            parse_short(wrong).expect_err(wrong);
        }
        assert_eq!([0.44, 12.3, 1254.0].map(ms), ["0.4 ms", "12 ms", "1.25 s"]);
    }

    #[test]
    fn durations_are_short_at_every_scale() {
        let shown = |ms: u64| duration(Duration::from_millis(ms));
        assert_eq!(
            [shown(420), shown(12_900), shown(185_000), shown(7_800_000)],
            ["0.4 s", "12 s", "3m 05s", "2h 10m"]
        );
    }

    #[test]
    fn a_time_in_the_future_is_now() {
        let now = Utc::now();
        assert_eq!(age(now + chrono::TimeDelta::seconds(30), now), "now");
        assert_eq!(age(now - chrono::TimeDelta::hours(50), now), "2d ago");
        let ahead = [-5, 0, 59, 60, 1800, 7200].map(|s| until(now + chrono::TimeDelta::seconds(s), now));
        assert_eq!(ahead, ["now", "now", "in 59s", "in 1m", "in 30m", "in 2h"]);
    }

    #[test]
    fn sizes_use_binary_units() {
        assert_eq!([size(512), size(1536), size(52_428_800)], ["512 B", "1.5 KiB", "50 MiB"]);
    }

    #[test]
    fn typed_durations_need_a_known_unit_and_a_sane_size() {
        assert_eq!(parse("10m"), Ok(Duration::from_mins(10)));
        assert_eq!(parse("45"), Ok(Duration::from_secs(45)));
        for bad in ["", "m", "10y", "0s", "-1s", "99999999999999999999s", "400d"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
