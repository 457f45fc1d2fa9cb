//! Environment variables of apps, sealed in the database.

pub mod api;
pub mod dotenv;
pub mod file;
pub mod patch;
pub mod predefined;
pub mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use protocol::ids::AppId;

use crate::http::{Code, Error, Result};
use crate::vault::{Purpose, Vault, VaultError};

/// Names and plain values.
pub type Values = BTreeMap<String, String>;

/// The variables of an app, open.
#[derive(Clone, Default)]
pub struct Open {
    pub values: Values,
    /// Names of those that build steps may mount.
    pub build_time: Vec<String>,
    /// Names of those that need a value and have none.
    pub missing: Vec<String>,
}

impl Open {
    pub fn add(&mut self, sealed: &store::Sealed, value: String) {
        if sealed.build_time {
            self.build_time.push(sealed.name.clone());
        }
        if sealed.required && value.is_empty() {
            self.missing.push(sealed.name.clone());
        }
        self.values.insert(sealed.name.clone(), value);
    }

    /// Refuses to deploy without what the app needs.
    pub fn check_complete(&self) -> Result<()> {
        let Some(first) = self.missing.first() else { return Ok(()) };
        let message = match &self.missing[..] {
            [one] => format!("{one} is required and has no value"),
            all => format!("{} are required and have no value", all.join(", ")),
        };
        Err(Error::new(Code::VariablesMissing, message).field(format!("variables.{first}")).hint(format!(
            "`wh env set {first}=-` sets it; `wh env set --no-required {first}` lets the app do without"
        )))
    }

    /// What an image that is built now is built with.
    pub fn for_builds(&self) -> Values {
        only(&self.values, &self.build_time)
    }
}

/// Those of `values` that `names` names.
pub fn only(values: &Values, names: &[String]) -> Values {
    values
        .iter()
        .filter(|(name, _)| names.contains(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Bytes of one value.
const VALUE_LIMIT: usize = 32 << 10;
/// Characters of the comment of one.
const COMMENT_LIMIT: usize = 2000;
/// Bytes of the comments above one.
const ABOVE_LIMIT: usize = 8 << 10;
/// Variables of one app.
const COUNT_LIMIT: usize = 500;

/// A letter or `_`, then letters, digits and `_`; at most 128.
pub fn is_name(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn check_name(name: &str, field: &str) -> Result<()> {
    if is_name(name) {
        return Ok(());
    }
    let shown: String = name.chars().take(40).collect();
    Err(Error::new(Code::NameInvalid, format!("{shown:?} cannot be the name of a variable"))
        .field(format!("{field}.{shown}"))
        .hint("Use A-Z, a-z, 0-9 and _, not beginning with a digit, at most 128 characters"))
}

/// Whether a user may set it.
fn check_free(name: &str, field: &str) -> Result<()> {
    check_name(name, field)?;
    if name.starts_with(predefined::PREFIX) {
        let message = format!(
            "{name} is for the platform to set: so are all names that begin with {}",
            predefined::PREFIX
        );
        return Err(Error::new(Code::NameInvalid, message)
            .field(format!("{field}.{name}"))
            .hint("Choose another name"));
    }
    Ok(())
}

fn check_value(name: &str, field: &str, value: &str) -> Result<()> {
    let problem = if value.len() > VALUE_LIMIT {
        "is longer than 32 KiB"
    } else if value.contains('\0') {
        "has a zero byte in it"
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!("{field}.{name}"), format!("the value of {name} {problem}")))
}

fn check_comment(name: &str, field: &str, comment: &str) -> Result<()> {
    let problem = if comment.chars().count() > COMMENT_LIMIT {
        format!("is longer than {COMMENT_LIMIT} characters")
    } else if comment.chars().any(|letter| letter.is_control() && !matches!(letter, '\n' | '\t')) {
        "has control characters in it".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!("{field}.{name}"), format!("the comment of {name} {problem}")))
}

fn identity_of(app: AppId) -> String {
    format!("app-variables:{app}")
}

/// The snapshot that a deployment and its release carry.
pub fn seal(vault: &Vault, app: AppId, values: &Values) -> Vec<u8> {
    let text = serde_json::to_vec(values).expect("a map of strings is JSON");
    vault.seal(Purpose::Variables, &identity_of(app), &text)
}

/// Opens what [`seal`] made.
pub fn open(vault: &Vault, app: AppId, sealed: &[u8]) -> std::result::Result<Values, VaultError> {
    let text = vault.open(Purpose::Variables, &identity_of(app), sealed)?;
    serde_json::from_slice(&text).map_err(|_| VaultError::Damaged)
}

#[cfg(test)]
mod rules {
    use super::*;

    #[test]
    fn a_name_is_what_a_shell_could_set() {
        for good in ["A", "_x", "DATABASE_URL", "a1", &"A".repeat(128)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "1A", "A-B", "A B", "Ä", "A=B", "A\n", &"A".repeat(129)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
