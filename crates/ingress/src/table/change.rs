//! From one table's routes to the next one's: what stays is found, and only the host names around what does not are
//! looked at. The outcome is that of a table built from nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use protocol::spec::Route;

use super::{HostRoutes, RouteEntry, RouteTable, host_key};
use crate::Problem;
use crate::balance::Balancer;
use crate::gateway::Delivery;
use crate::observe::RouteMetrics;
use crate::options::Rules;
use crate::upstream::Endpoint;

/// A route and how it came into its table.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    /// What the entry was made of, or its equal.
    spec: Arc<Route>,
    entry: Arc<RouteEntry>,
    /// Nothing of it was left out. What has problems is made anew each time, so that they are told each time.
    whole: bool,
}

/// The routes of a host name while they are gathered.
type Gathered = Vec<Arc<RouteEntry>>;

impl RouteTable {
    /// This table with `routes` instead of its own, and without challenges.
    pub(super) fn with_routes<'a>(&'a self, routes: &'a [Arc<Route>], problems: &mut Vec<Problem>) -> Self {
        let (kept, gone) = compare(&self.placed, routes);
        let mut next = Self {
            placed: Vec::with_capacity(routes.len()),
            endpoints: self.endpoints.clone(),
            metrics: self.metrics.clone(),
            shared: Arc::clone(&self.shared),
            ..Self::default()
        };
        let new = || routes.iter().zip(&kept).filter(|(_, kept)| kept.is_none()).map(|(route, _)| &**route);
        let changes = gone.len() + new().count();
        let few = changes < routes.len() / 2;
        let mut names: HashMap<&str, Gathered> = HashMap::new();
        let mut name = |route: &'a Route| {
            names.extend(route.hosts.iter().map(|name| (name.as_str(), Gathered::new())));
        };
        if few {
            next.hosts.clone_from(&self.hosts);
            next.wildcards.clone_from(&self.wildcards);
            gone.iter().map(|placed| &*placed.spec).chain(new()).for_each(&mut name);
        } else {
            for route in routes {
                name(route);
            }
        }
        // What stays, but has a name of what does not.
        let beside: HashSet<*const RouteEntry> =
            names.keys().filter(|_| few).flat_map(|name| self.routes_of(name)).map(Arc::as_ptr).collect();
        for (route, kept) in routes.iter().zip(kept) {
            if let Some(Placed { entry, .. }) = kept
                && few
                && !beside.contains(&Arc::as_ptr(entry))
            {
                let (spec, entry) = (Arc::clone(route), Arc::clone(entry));
                next.placed.push(Placed { spec, entry, whole: true });
                continue;
            }
            let known = problems.len();
            let mut report = |problem: String| {
                problems.push(Problem::new(format!("route `{}`", route.id), problem));
            };
            let kept = kept.map(|placed| Arc::clone(&placed.entry));
            let Some(entry) = kept.or_else(|| next.entry(route, &mut report)) else { continue };
            let whole = gather(&mut names, route, &entry, &mut report) && problems.len() == known;
            next.placed.push(Placed { spec: Arc::clone(route), entry, whole });
        }
        for (name, gathered) in names {
            next.put(name, gathered);
        }
        // At last, so that what the new routes use, too, is still there.
        for placed in gone {
            next.release(&placed.spec);
        }
        next
    }

    fn entry(&mut self, route: &Route, report: &mut impl FnMut(String)) -> Option<Arc<RouteEntry>> {
        if !route.path.starts_with('/') {
            report(format!("has path `{}`, which does not start with /", route.path));
            return None;
        }
        if route.hosts.is_empty() {
            report("has no host".to_owned());
            return None;
        }
        let protocol = route.options.upstream_protocol;
        let members = route.upstreams.iter().map(|upstream| {
            let make = || Arc::new(Endpoint::new(upstream.address, protocol));
            (self.endpoints.take((upstream.address, protocol), make), upstream.weight)
        });
        let app: Arc<str> = route.app.as_str().into();
        Some(Arc::new(RouteEntry {
            upstreams: Balancer::new(members.collect()).with(&route.options, report),
            delivery: Delivery::new(&route.options, report),
            id: route.id.as_str().into(),
            prefix: route.path.trim_end_matches('/').into(),
            https_only: route.https_only && route.options.https_redirect != Some(false),
            rules: Rules::new(route, &self.shared, report),
            unavailable: route.unavailable,
            metrics: self.metrics.take(Arc::clone(&app), || Arc::new(RouteMetrics::new(app))),
        }))
    }

    fn release(&mut self, route: &Route) {
        let Route { app, upstreams, options, .. } = route;
        for upstream in upstreams {
            self.endpoints.release(&(upstream.address, options.upstream_protocol));
        }
        self.metrics.release(app.as_str());
    }

    fn put(&mut self, name: &str, mut gathered: Gathered) {
        let (hosts, name) = match name.strip_prefix("*.") {
            Some(parent) => (&mut self.wildcards, parent),
            None => (&mut self.hosts, name),
        };
        gathered.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
        match gathered.len() {
            0 => hosts.remove(name),
            1 => hosts.insert(name.into(), HostRoutes::One(gathered.remove(0))),
            _ => hosts.insert(name.into(), HostRoutes::More(gathered.into())),
        }
    }
}

/// For each of `routes` how it was placed before, unless it is another one now; and what was placed and stays no more. As
/// most changes are few and near to each other, what is alike at both ends is left aside first.
fn compare<'a>(before: &'a [Placed], routes: &[Arc<Route>]) -> (Vec<Option<&'a Placed>>, Vec<&'a Placed>) {
    let same = |(placed, route): &(&Placed, &Arc<Route>)| {
        placed.whole && (Arc::ptr_eq(&placed.spec, route) || placed.spec == **route)
    };
    let start = before.iter().zip(routes).take_while(same).count();
    let (left, right) = (&before[start..], &routes[start..]);
    let end = left.iter().rev().zip(right.iter().rev()).take_while(same).count();
    let middle = &left[..left.len() - end];
    let by_id: HashMap<&str, usize> =
        middle.iter().enumerate().map(|(at, placed)| (&*placed.spec.id, at)).collect();
    let mut stays = vec![false; middle.len()];
    let mut find = |route: &Arc<Route>| {
        let at = *by_id.get(route.id.as_str())?;
        (!stays[at] && same(&(&middle[at], route))).then(|| {
            stays[at] = true;
            &middle[at]
        })
    };
    let mut kept: Vec<_> = before[..start].iter().map(Some).collect();
    kept.extend(right[..right.len() - end].iter().map(&mut find));
    kept.extend(left[middle.len()..].iter().map(Some));
    let gone = middle.iter().zip(stays).filter(|(_, stays)| !stays).map(|(placed, _)| placed);
    (kept, gone.collect())
}

/// Adds a route to those of its names that are gathered; whether it got all of them.
fn gather(
    names: &mut HashMap<&str, Gathered>,
    Route { id, hosts, path, .. }: &Route,
    entry: &Arc<RouteEntry>,
    report: &mut impl FnMut(String),
) -> bool {
    let mut whole = true;
    for name in hosts {
        let Some(gathered) = names.get_mut(name.as_str()) else { continue };
        let host = name.strip_prefix("*.").unwrap_or(name);
        if host_key(host).is_none_or(|key| key != host) {
            report(format!("has host `{name}`, which is not a lower-case host name"));
            whole = false;
            continue;
        }
        match gathered.iter().find(|other| other.prefix == entry.prefix) {
            Some(other) if Arc::ptr_eq(other, entry) => {}
            Some(other) => {
                // Twice the same one is no problem.
                if *other.id != **id {
                    report(format!("wants `{name}{path}`, which route `{}` has already", other.id));
                }
                whole = false;
            }
            None => gathered.push(Arc::clone(entry)),
        }
    }
    whole
}
