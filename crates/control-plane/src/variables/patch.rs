//! What a request changes of an app's variables.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::AppId;
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;

use super::store::{self, Flags, Sealed};
use super::{Values, check_comment, check_free, check_name, check_value, dotenv};
use crate::app::App;
use crate::http::{Error, Result};

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VariablesPatch {
    /// Names and new values.
    #[serde(default)]
    set: Values,
    /// A required variable cannot be unset, unless the same request says that it is not required any more.
    #[serde(default)]
    unset: Vec<String>,
    /// Names, and whether build steps may mount the variable. Others keep what they have, here and below.
    #[serde(default)]
    build_time: BTreeMap<String, bool>,
    /// Names, and whether nothing is deployed while the variable has no value.
    #[serde(default)]
    required: BTreeMap<String, bool>,
    /// Names of variables whose value is never shown again. There is no way back but to unset one.
    #[serde(default)]
    locked: BTreeMap<String, bool>,
    /// Names, and what the variable is for.
    #[serde(default)]
    comments: BTreeMap<String, String>,
    /// Whether to deploy the running release's image with the new variables and settings.
    #[serde(default)]
    pub deploy: bool,
}

impl VariablesPatch {
    pub fn check(&self) -> Result<()> {
        for (name, value) in &self.set {
            check_free(name, "set")?;
            check_value(name, "set", value)?;
            if self.unset.contains(name) {
                return Err(Error::invalid(format!("unset.{name}"), format!("{name} is both set and unset")));
            }
        }
        for (field, flags) in self.flags() {
            flags.keys().try_for_each(|name| check_name(name, field))?;
        }
        for (name, comment) in &self.comments {
            check_name(name, "comments")?;
            check_comment(name, "comments", comment)?;
        }
        self.unset.iter().try_for_each(|name| check_name(name, "unset"))
    }

    fn flags(&self) -> [(&'static str, &BTreeMap<String, bool>); 3] {
        [("build_time", &self.build_time), ("required", &self.required), ("locked", &self.locked)]
    }

    /// Without any value.
    pub fn detail(&self) -> serde_json::Value {
        let names: Vec<&String> = self.set.keys().collect();
        let mut detail = json!({ "set": names, "unset": self.unset });
        for (field, flags) in self.flags() {
            if !flags.is_empty() {
                detail[field] = json!(flags);
            }
        }
        detail
    }

    pub async fn carry_out(&self, app: &App, conn: &mut PgConnection, of: AppId) -> Result<()> {
        let before: BTreeMap<String, Sealed> =
            store::list(conn, of).await?.into_iter().map(|one| (one.name.clone(), one)).collect();
        for name in &self.unset {
            if before.get(name).is_some_and(|had| had.required) && self.required.get(name) != Some(&false) {
                return Err(still_required(name, format!("unset.{name}")));
            }
            store::unset(conn, of, name).await?;
        }
        for (name, value) in &self.set {
            store::set(conn, &app.vault, of, name, value).await?;
        }
        let there = |name: &String| {
            self.set.contains_key(name) || before.contains_key(name) && !self.unset.contains(name)
        };
        for (name, flags) in self.flags_by_name(&before, there)? {
            store::flag(conn, of, name, flags).await?;
        }
        for (name, comment) in &self.comments {
            if !there(name) {
                return Err(no_such(name, "comments"));
            }
            let above = match before.get(name) {
                Some(had) => had.open_above(&app.vault, of)?,
                None => String::new(),
            };
            store::set_above(conn, &app.vault, of, name, &dotenv::with_comment(&above, comment)).await?;
        }
        Ok(())
    }

    fn flags_by_name(
        &self,
        before: &BTreeMap<String, Sealed>,
        there: impl Fn(&String) -> bool,
    ) -> Result<BTreeMap<&String, Flags>> {
        let mut names = BTreeSet::new();
        for (field, flags) in self.flags() {
            // What goes has no flags.
            for name in flags.keys().filter(|name| !self.unset.contains(name)) {
                if !there(name) {
                    return Err(no_such(name, field));
                }
                names.insert(name);
            }
        }
        let unlocked = |name: &&String| {
            self.locked.get(*name) == Some(&false) && before.get(*name).is_some_and(|had| had.locked)
        };
        if let Some(name) = names.iter().copied().find(unlocked) {
            let field = format!("locked.{name}");
            return Err(Error::invalid(
                field,
                format!("{name} stays locked: its value was never to be shown again"),
            )
            .hint("Unset it, then set it anew"));
        }
        let flags = names.into_iter().map(|name| {
            let flags = Flags {
                build_time: self.build_time.get(name).copied(),
                required: self.required.get(name).copied(),
                locked: self.locked.get(name).copied(),
            };
            (name, flags)
        });
        Ok(flags.collect())
    }
}

pub fn still_required(name: &str, field: String) -> Error {
    Error::invalid(field, format!("{name} is required"))
        .hint(format!("`wh env set --no-required {name}` lets the app do without it"))
}

fn no_such(name: &str, field: &str) -> Error {
    Error::invalid(format!("{field}.{name}"), format!("there is no variable {name}")).hint("Set it first")
}
