//! The options that people set for an app's routes, or for one of its domains. They are kept as they were said, key by
//! key: a domain's key takes the place of the app's, also where it says what is the default, or nothing (null).

pub mod api;
pub mod check;
pub mod forward_auth;
pub mod redirects;
pub mod store;
#[cfg(test)]
mod tests;
pub mod users;

use std::collections::BTreeMap;

use protocol::spec::RouteOptions;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::http::{Error, Result};

/// What is set in one place: keys of `RouteOptions` with their values.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(as = OwnRouteOptions, value_type = BTreeMap<String, Value>)]
pub struct Own(pub Map<String, Value>);

/// A change: what is in neither stays.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = RoutesPatch)]
pub struct Patch {
    /// Keys of `RouteOptions` with their values, each replaced as a whole. `null` switches an option off that a domain
    /// would take from its app. Each of `basic_auth.users` is `{"password": …}`, `{"hash": …}` (bcrypt), or null to
    /// keep the password that is there.
    #[schema(value_type = BTreeMap<String, Value>)]
    pub set: Map<String, Value>,
    /// Keys that go back to what holds without them.
    pub unset: Vec<String>,
}

/// Where an option that holds was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = RouteOrigin)]
pub enum Origin {
    App,
    Domain,
}

/// The options of an app or a domain. Hashes of passwords are not told: each of `basic_auth.users` is null.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RouteSettings)]
pub struct View {
    /// What is set here.
    pub own: Own,
    /// What holds: for a domain with what it takes from its app. Options that are set nowhere are left out.
    #[schema(value_type = RouteOptions)]
    pub effective: Own,
    /// Where each option in `effective` was set.
    pub origins: BTreeMap<String, Origin>,
    /// Host names that requests can be redirected to by `canonical_host`.
    pub hosts: Vec<String>,
}

impl Own {
    /// With the other's keys in place of its own.
    pub fn with(&self, over: &Self) -> Self {
        let mut all = self.0.clone();
        all.extend(over.0.clone());
        Self(all)
    }

    /// As the planner reads it.
    pub fn options(&self) -> Result<RouteOptions> {
        serde_json::from_value(Value::Object(self.0.clone()))
            .map_err(|error| Error::invalid("set", format!("these options cannot be read: {error}")))
    }

    /// Without hashes.
    pub fn shown(&self) -> Self {
        let mut shown = self.clone();
        let users = shown.0.get_mut("basic_auth").and_then(|auth| auth.get_mut("users"));
        for hash in users.and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
            *hash = Value::Null;
        }
        shown
    }

    /// After a change whose values were read by [`check::read`].
    pub fn changed(&self, set: Map<String, Value>, unset: &[String]) -> Self {
        let mut all = self.0.clone();
        for key in unset {
            all.remove(key);
        }
        all.extend(set);
        Self(all)
    }
}

/// What is told of an app (`domain` absent) or of a domain.
pub fn view(app: &Own, domain: Option<&Own>, hosts: Vec<String>) -> View {
    let own = domain.unwrap_or(app);
    let mut effective = domain.map_or_else(|| app.clone(), |domain| app.with(domain)).shown();
    effective.0.retain(|_, value| !value.is_null());
    let origin = |key: &String| {
        if domain.is_some_and(|domain| domain.0.contains_key(key)) { Origin::Domain } else { Origin::App }
    };
    let origins = effective.0.keys().map(|key| (key.clone(), origin(key))).collect();
    View { own: own.shown(), effective, origins, hosts }
}

/// What the audit log keeps of a change, and people read of it; no hashes.
pub fn detail(before: &Own, after: &Own, domain: Option<&str>) -> Value {
    let differing = |one: &Own, other: &Own| {
        let one: Map<String, Value> =
            one.0.iter().filter(|(key, value)| other.0.get(*key) != Some(value)).map(owned).collect();
        Own(one).shown()
    };
    json!({ "domain": domain, "before": differing(before, after), "after": differing(after, before) })
}

fn owned((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}
