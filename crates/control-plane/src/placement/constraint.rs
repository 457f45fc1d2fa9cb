//! What is asked of a node's labels.

use std::fmt;

use protocol::labels::{self, Labels};
use serde::{Deserialize, Serialize};

/// One condition, written `disk=nvme`, `region!=us`, `gpu` or `!spot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Constraint {
    Has(String),
    HasNot(String),
    Is(String, String),
    /// A node without the label fulfils it.
    IsNot(String, String),
}

impl Constraint {
    pub fn holds(&self, labels: &Labels) -> bool {
        match self {
            Self::Has(key) => labels.contains_key(key),
            Self::HasNot(key) => !labels.contains_key(key),
            Self::Is(key, value) => labels.get(key) == Some(value),
            Self::IsNot(key, value) => labels.get(key) != Some(value),
        }
    }
}

impl TryFrom<String> for Constraint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (key, found) = match text.split_once('=') {
            Some((key, value)) => match key.strip_suffix('!') {
                Some(key) => (key, Self::IsNot(key.to_owned(), value.to_owned())),
                None => (key, Self::Is(key.to_owned(), value.to_owned())),
            },
            None => match text.strip_prefix('!') {
                Some(key) => (key, Self::HasNot(key.to_owned())),
                None => (&*text, Self::Has(text.clone())),
            },
        };
        labels::check_key(key).map_err(|problem| {
            format!(
                "`{}` is no condition on labels such as disk=nvme, region!=us, gpu or !spot: {problem}",
                text.escape_debug()
            )
        })?;
        Ok(found)
    }
}

impl From<Constraint> for String {
    fn from(constraint: Constraint) -> Self {
        constraint.to_string()
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Has(key) => f.write_str(key),
            Self::HasNot(key) => write!(f, "!{key}"),
            Self::Is(key, value) => write!(f, "{key}={value}"),
            Self::IsNot(key, value) => write!(f, "{key}!={value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Constraint, String> {
        Constraint::try_from(text.to_owned())
    }

    #[test]
    fn a_condition_is_read_as_it_is_written() {
        for text in ["disk=nvme", "region!=us", "gpu", "!spot", "note=a=b", "empty="] {
            assert_eq!(read(text).expect(text).to_string(), text);
        }
        for text in ["", "=x", "!=x", "Disk=x", "a b", "!", "!!a"] {
            let problem = read(text).expect_err(text);
            assert!(problem.contains(&format!("`{text}`")), "{problem}");
        }
    }

    #[test]
    fn it_holds_for_the_labels_that_it_names() {
        let labels = Labels::from([("disk".to_owned(), "nvme".to_owned())]);
        let holds = |text: &str| read(text).expect(text).holds(&labels);
        assert!(["disk", "disk=nvme", "disk!=hdd", "region!=us", "!region"].into_iter().all(holds));
        assert!(!["!disk", "disk=hdd", "disk!=nvme", "region", "region=us"].into_iter().any(holds));
    }
}
