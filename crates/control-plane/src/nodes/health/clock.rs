//! Clocks that are off: what is measured on the link, in words.

use protocol::envelope::MAX_SKEW_MS;

use crate::nodes::Agent;

/// From so far on it is worth a word: log lines and certificates begin to look odd.
pub const NOTABLE_MS: i64 = 30_000;

/// `6 min 10 s ahead`, `40 s behind`.
pub fn words(offset_ms: i64) -> String {
    let way = if offset_ms < 0 { "behind" } else { "ahead" };
    let seconds = offset_ms.unsigned_abs() / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600, seconds / 60);
    match seconds {
        0..60 => format!("{seconds} s {way}"),
        60..3600 => format!("{minutes} min {} s {way}", seconds % 60),
        3600..86_400 => format!("{hours} h {} min {way}", minutes % 60),
        _ => format!("{days} d {} h {way}", hours % 24),
    }
}

/// Whether messages with this offset are refused.
pub fn is_refused(offset_ms: i64) -> bool {
    offset_ms.saturating_abs() > MAX_SKEW_MS
}

/// What does not go well between a node and the control plane, each with the remedy.
pub fn warnings(offset_ms: Option<i64>, agents: &[Agent]) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(offset) = offset_ms.filter(|offset| offset.saturating_abs() >= NOTABLE_MS) {
        let so = if is_refused(offset) {
            "Its messages are refused"
        } else {
            "From 5 minutes on its messages are refused"
        };
        found.push(format!(
            "its clock is {}. {so}: set it on the host, for example with chrony",
            words(offset)
        ));
    }
    let refused = agents.iter().filter_map(|agent| Some((agent.kind, agent.refusal.as_ref()?)));
    found.extend(refused.map(|(kind, refusal)| format!("its {kind} agent is refused: {refusal}")));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_told_in_two_units_and_a_direction() {
        let said = [400, -40_000, 370_000, -7_260_000, 200_000_000].map(words);
        assert_eq!(
            said,
            ["0 s ahead", "40 s behind", "6 min 10 s ahead", "2 h 1 min behind", "2 d 7 h ahead"]
        );
    }

    #[test]
    fn a_clock_is_worth_a_word_from_half_a_minute_and_refused_from_five() {
        assert_eq!(warnings(Some(29_999), &[]), [""; 0]);
        let near = warnings(Some(-30_000), &[]);
        assert!(
            near[0].starts_with("its clock is 30 s behind") && near[0].contains("From 5 minutes"),
            "{near:?}"
        );
        let far = warnings(Some(301_000), &[]);
        assert!(far[0].contains("5 min 1 s ahead") && far[0].contains("messages are refused:"), "{far:?}");
        assert!(!is_refused(-300_000) && is_refused(300_001));
    }
}
