//! What makes one route table of another. A table of thousands of routes in which one changed is a few hundred bytes on
//! the wire.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Generation, ProxySpec, Versioned};

/// Header of the request for an agent's WebSocket, and its value, by which the agent says that it understands
/// [`TableChange`]. One that does not say so gets whole tables.
pub const TAKES_CHANGES: (&str, &str) = ("x-wisehosting-takes", "spec.change");

/// A route table as what became of the one before it on the same connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableChange {
    /// The generation of the table before.
    pub from: Generation,
    pub generation: Generation,
    pub routes: Vec<Piece<super::Route>>,
    pub certificates: Vec<Piece<super::Certificate>>,
    /// All that is neither, when any of it is different.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<ProxySpec>,
}

/// The next elements of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Piece<T> {
    /// Of the list before.
    Kept {
        from: usize,
        count: usize,
    },
    New(Vec<Arc<T>>),
}

/// A change that is not one of the table that is there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    #[error("it changes generation {wanted}, and the last table was {last:?}")]
    Generation { wanted: Generation, last: Option<Generation> },
    #[error("it keeps what the table before does not have")]
    Piece,
}

impl TableChange {
    /// What makes `new` of `old`.
    pub fn between(old: &Versioned<ProxySpec>, new: &Versioned<ProxySpec>) -> Self {
        let rest = rest(&new.spec);
        Self {
            from: old.generation,
            generation: new.generation,
            routes: pieces(&old.spec.routes, &new.spec.routes, |route| route.id.as_str()),
            certificates: pieces(&old.spec.certificates, &new.spec.certificates, |certificate| {
                certificate.hosts.as_slice()
            }),
            rest: (self::rest(&old.spec) != rest).then_some(rest),
        }
    }

    /// The whole table that it makes of the `last` one.
    pub fn apply(self, last: Option<&Versioned<ProxySpec>>) -> Result<Versioned<ProxySpec>, Misfit> {
        let Self { from, generation, routes, certificates, rest } = self;
        let misfit = || Misfit::Generation { wanted: from, last: last.map(|last| last.generation) };
        let old = &last.filter(|last| last.generation == from).ok_or_else(misfit)?.spec;
        let (routes, certificates) = (joined(&old.routes, routes)?, joined(&old.certificates, certificates)?);
        let spec = ProxySpec { routes, certificates, ..rest.unwrap_or_else(|| self::rest(old)) };
        Ok(Versioned { generation, spec })
    }
}

/// `spec` without its long lists.
fn rest(spec: &ProxySpec) -> ProxySpec {
    ProxySpec { routes: Vec::new(), certificates: Vec::new(), ..spec.clone() }
}

/// `new` in pieces of `old`, whose elements are found by `key` where they are not at the same place.
fn pieces<'a, T: PartialEq, K: Hash + Eq>(
    old: &'a [Arc<T>],
    new: &'a [Arc<T>],
    key: impl Fn(&'a T) -> K,
) -> Vec<Piece<T>> {
    let by_key: HashMap<K, usize> = old.iter().enumerate().map(|(at, element)| (key(element), at)).collect();
    let mut pieces = Vec::new();
    for element in new {
        let kept = by_key.get(&key(element)).copied().filter(|at| old[*at] == *element);
        match (kept, pieces.last_mut()) {
            (Some(at), Some(Piece::Kept { from, count })) if *from + *count == at => *count += 1,
            (Some(at), _) => pieces.push(Piece::Kept { from: at, count: 1 }),
            (None, Some(Piece::New(elements))) => elements.push(Arc::clone(element)),
            (None, _) => pieces.push(Piece::New(vec![Arc::clone(element)])),
        }
    }
    pieces
}

fn joined<T>(old: &[Arc<T>], pieces: Vec<Piece<T>>) -> Result<Vec<Arc<T>>, Misfit> {
    let mut new = Vec::with_capacity(old.len());
    for piece in pieces {
        match piece {
            Piece::Kept { from, count } => {
                let end = from.checked_add(count).ok_or(Misfit::Piece)?;
                new.extend_from_slice(old.get(from..end).ok_or(Misfit::Piece)?);
            }
            Piece::New(elements) => new.extend(elements),
        }
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{HttpChallenge, Route};
    use super::*;

    fn route(id: &str, app: &str) -> Arc<Route> {
        Arc::new(Route {
            id: id.to_owned(),
            app: app.to_owned(),
            hosts: vec![format!("{id}.test")],
            path: "/".to_owned(),
            upstreams: Vec::new(),
            unavailable: None,
            https_only: false,
            options: Box::default(),
        })
    }

    fn table(generation: Generation, routes: &[(String, String)], token: &str) -> Versioned<ProxySpec> {
        let challenge = HttpChallenge {
            host: "a.test".to_owned(),
            token: token.to_owned(),
            key_authorization: String::new(),
        };
        let routes = routes.iter().map(|(id, app)| route(id, app)).collect();
        Versioned {
            generation,
            spec: ProxySpec { routes, challenges: vec![challenge], ..ProxySpec::default() },
        }
    }

    proptest! {
        #[test]
        fn it_makes_the_one_table_of_the_other(
            // Also with ids that are there twice.
            old in (proptest::collection::vec(("[a-f]", "[xy]"), 0..8), "[tu]"),
            new in (proptest::collection::vec(("[a-f]", "[xy]"), 0..8), "[tu]"),
        ) {
            let (old, new) = (table(1, &old.0, &old.1), table(2, &new.0, &new.1));
            let text = serde_json::to_string(&TableChange::between(&old, &new)).expect("JSON");
            let change: TableChange = serde_json::from_str(&text).expect("read");
            prop_assert_eq!(change.apply(Some(&old)), Ok(new));
        }
    }

    #[test]
    fn one_changed_route_of_many_is_little_and_the_others_are_the_very_same() {
        let mut routes: Vec<_> = (0..1000).map(|at| (format!("r{at}"), "app".to_owned())).collect();
        let old = table(1, &routes, "t");
        routes[500].1 = "other".to_owned();
        let change = TableChange::between(&old, &table(2, &routes, "t"));
        assert!(serde_json::to_string(&change).expect("JSON").len() < 400, "{change:?}");
        let new = change.apply(Some(&old)).expect("it fits").spec;
        let same = new.routes.iter().zip(&old.spec.routes).filter(|(one, other)| Arc::ptr_eq(one, other));
        assert_eq!((same.count(), new.routes[500].app.as_str()), (999, "other"));
    }

    #[test]
    fn what_is_equal_is_shared() {
        let all = [("a", "x"), ("b", "x"), ("c", "x")].map(|(id, app)| (id.to_owned(), app.to_owned()));
        let known = table(1, &all, "t").spec;
        let mut next =
            table(2, &[all[2].clone(), all[0].clone(), ("b".to_owned(), "y".to_owned())], "t").spec;
        let equal = next.clone();
        next.share(&known);
        assert_eq!(next, equal);
        let shared = |route: &Arc<Route>| known.routes.iter().any(|known| Arc::ptr_eq(known, route));
        assert_eq!(next.routes.iter().map(shared).collect::<Vec<_>>(), [true, true, false]);
    }

    #[test]
    fn a_change_of_another_table_is_refused() {
        let change =
            |routes| TableChange { from: 1, generation: 9, routes, certificates: Vec::new(), rest: None };
        let tables = [1, 2].map(|generation| table(generation, &[("a".to_owned(), "x".to_owned())], "t"));
        let refused = |last: Option<&_>, routes| change(routes).apply(last).unwrap_err();
        assert_eq!(refused(None, Vec::new()), Misfit::Generation { wanted: 1, last: None });
        assert_eq!(refused(Some(&tables[1]), Vec::new()), Misfit::Generation { wanted: 1, last: Some(2) });
        for (from, count) in [(0, 2), (1, 1), (usize::MAX, 2)] {
            let beyond = vec![Piece::Kept { from, count }];
            assert_eq!(refused(Some(&tables[0]), beyond), Misfit::Piece, "{from} {count}");
        }
    }
}
