//! `[placement]`: on which nodes instances may be.

use serde::{Deserialize, Serialize};

/// What the file says of it; what it does not say is left out.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Placement {
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<Strategy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    required: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anti_affinity: Option<AntiAffinity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_per_node: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_s: Option<u32>,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", try_from = "String")]
enum Strategy {
    LeastUtilised,
    RoundRobin,
    Resource,
    Spread,
}

impl TryFrom<String> for Strategy {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        Ok(match word.as_str() {
            "least-utilised" => Self::LeastUtilised,
            "round-robin" => Self::RoundRobin,
            "resource" => Self::Resource,
            "spread" => Self::Spread,
            _ => {
                return Err(format!(
                    "placement.strategy must be least-utilised, round-robin, resource or spread, not `{word}`"
                ));
            }
        })
    }
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum AntiAffinity {
    Soft,
    Hard,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::project::parse;

    #[test]
    fn the_settings_hold_what_the_file_says_of_places() {
        let text = "[placement]\nstrategy = \"spread\"\nrequired = [\"disk=nvme\", \"!spot\"]\nanti_affinity = \"hard\"";
        assert_eq!(
            parse(text, "f").expect("valid").settings(),
            json!({ "placement": {
                "strategy": "spread", "required": ["disk=nvme", "!spot"], "anti_affinity": "hard"
            } })
        );
        let failure = parse("[placement]\nstrategy = \"random\"", "f").expect_err("refused");
        let told = "line 2: placement.strategy must be least-utilised, round-robin, resource or spread, not `random`";
        assert!(failure.message.contains(told), "{}", failure.message);
    }
}
