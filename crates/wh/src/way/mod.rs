//! What the project file says of the way to an app: its domains, their paths, and what is done with requests. What the
//! file does not name stays as it is; `false` says that something is to be gone.

pub(crate) mod steps;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::route::{Options, said};

/// Something that is to be as told, or not at all.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted<T> {
    Gone,
    There(T),
}

/// What a thing may be written as besides a table and `false`.
pub(crate) trait Brief: Sized {
    const EXPECTED: &str;

    fn of_true() -> Option<Self> {
        None
    }

    fn of_text(_: &str) -> Option<Self> {
        None
    }
}

/// A host name beside the app's own.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Domain {
    pub(crate) paths: BTreeMap<String, Wanted<Path>>,
    pub(crate) routes: Options,
}

impl Brief for Domain {
    const EXPECTED: &str = "true, false or a table with `paths` and `routes`";

    fn of_true() -> Option<Self> {
        Some(Self::default())
    }
}

/// Where a path of a domain leads.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Path {
    pub(crate) app: String,
    #[serde(default)]
    pub(crate) strip_prefix: bool,
}

impl Brief for Path {
    const EXPECTED: &str = "the name of an app, false, or a table with `app` and `strip_prefix`";

    fn of_text(app: &str) -> Option<Self> {
        Some(Self { app: app.to_owned(), strip_prefix: false })
    }
}

impl<'de, T: Brief + Deserialize<'de>> Deserialize<'de> for Wanted<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WantedVisitor(PhantomData))
    }
}

struct WantedVisitor<T>(PhantomData<T>);

impl<'de, T: Brief + Deserialize<'de>> Visitor<'de> for WantedVisitor<T> {
    type Value = Wanted<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::EXPECTED)
    }

    fn visit_bool<E: serde::de::Error>(self, there: bool) -> Result<Self::Value, E> {
        match (there, T::of_true()) {
            (false, _) => Ok(Wanted::Gone),
            (true, Some(thing)) => Ok(Wanted::There(thing)),
            (true, None) => Err(E::invalid_value(Unexpected::Bool(true), &self)),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        T::of_text(text).map(Wanted::There).ok_or_else(|| E::invalid_type(Unexpected::Str(text), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Wanted::There)
    }
}

/// What the file says, in the form in which the control plane keeps it.
#[derive(Debug, Default)]
pub(crate) struct Way {
    pub(crate) routes: Options,
    pub(crate) domains: BTreeMap<String, Wanted<Domain>>,
}

impl Way {
    /// The error names the place in the file.
    pub(crate) fn read(routes: &Options, domains: &BTreeMap<String, Wanted<Domain>>) -> Result<Self, String> {
        let routes = said::read(routes).map_err(|problem| format!("routes: {problem}"))?;
        let mut way = Self { routes, domains: BTreeMap::new() };
        for (name, wanted) in domains {
            let read = one(wanted).map_err(|problem| format!("domains.\"{name}\": {problem}"))?;
            if way.domains.insert(normal(name), read).is_some() {
                return Err(format!("domains.\"{name}\" is there twice"));
            }
        }
        Ok(way)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.domains.is_empty()
    }
}

fn one(wanted: &Wanted<Domain>) -> Result<Wanted<Domain>, String> {
    let Wanted::There(domain) = wanted else { return Ok(Wanted::Gone) };
    let mut paths = BTreeMap::new();
    for (path, wanted) in &domain.paths {
        if !path.starts_with('/') || path == "/" {
            return Err(format!("the path `{path}` must begin with / and have a name after it"));
        }
        let wanted = match wanted {
            Wanted::Gone => Wanted::Gone,
            Wanted::There(Path { app, strip_prefix }) => {
                Wanted::There(Path { app: app.clone(), strip_prefix: *strip_prefix })
            }
        };
        paths.insert(path.trim_end_matches('/').to_owned(), wanted);
    }
    let routes = said::read(&domain.routes).map_err(|problem| format!("routes: {problem}"))?;
    Ok(Wanted::There(Domain { paths, routes }))
}

/// As names are compared: DNS has no upper case, and a dot at the end says nothing.
fn normal(name: &str) -> String {
    name.trim().trim_end_matches('.').to_lowercase()
}
