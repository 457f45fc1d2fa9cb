//! From one table's routes to the next one's: what stays is found, and only the host names around what does not are
//! looked at. The outcome is that of a table built from nothing.

use std::collections::HashMap;
use std::sync::Arc;

use protocol::spec::Route;

use super::{RouteEntry, RouteTable, host_key};
use crate::Problem;
use crate::balance::Balancer;
use crate::gateway::Delivery;
use crate::observe::RouteMetrics;
use crate::options::Rules;
use crate::upstream::Endpoint;

/// A route and how it came into its table.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    entry: Arc<RouteEntry>,
    /// Nothing of it was left out. What has problems is made anew each time, so that they are told each time.
    whole: bool,
}

/// The routes of a host name, with their prefixes, while they are gathered.
type Gathered = Vec<(Box<str>, Arc<RouteEntry>)>;

impl RouteTable {
    /// This table with `routes` instead of its own, and without challenges.
    pub(super) fn with_routes<'a>(&'a self, routes: &'a [Route], problems: &mut Vec<Problem>) -> Self {
        let (kept, gone) = compare(&self.placed, routes);
        let mut next = Self {
            placed: Vec::with_capacity(routes.len()),
            endpoints: self.endpoints.clone(),
            metrics: self.metrics.clone(),
            shared: Arc::clone(&self.shared),
            ..Self::default()
        };
        let new = || routes.iter().zip(&kept).filter(|(_, kept)| kept.is_none()).map(|(route, _)| route);
        let changes = gone.len() + new().count();
        let mut names: HashMap<&str, Gathered> = HashMap::with_capacity(changes.min(routes.len()));
        let mut name = |route: &'a Route| {
            names.extend(route.hosts.iter().map(|name| (name.as_str(), Gathered::new())));
        };
        if changes < routes.len() / 2 {
            next.hosts.clone_from(&self.hosts);
            next.wildcards.clone_from(&self.wildcards);
            gone.iter().map(|entry| &entry.spec).chain(new()).for_each(&mut name);
        } else {
            routes.iter().for_each(&mut name);
        }
        for (route, kept) in routes.iter().zip(kept) {
            let known = problems.len();
            let mut report = |problem: String| {
                problems.push(Problem::new(format!("route `{}`", route.id), problem));
            };
            let Some(entry) = kept.cloned().or_else(|| next.entry(route, &mut report)) else { continue };
            if !names.is_empty() {
                gather(&mut names, &entry, &mut report);
            }
            next.placed.push(Placed { entry, whole: problems.len() == known });
        }
        for (name, gathered) in names {
            next.put(name, gathered);
        }
        // At last, so that what the new routes use, too, is still there.
        for entry in gone {
            next.release(entry);
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
            app: route.app.as_str().into(),
            https_only: route.https_only && route.options.https_redirect != Some(false),
            rules: Rules::new(route, &self.shared, report),
            unavailable: route.unavailable,
            metrics: self.metrics.take(Arc::clone(&app), || Arc::new(RouteMetrics::new(app))),
            spec: route.clone(),
        }))
    }

    fn release(&mut self, entry: &RouteEntry) {
        let Route { app, upstreams, options, .. } = &entry.spec;
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
        if gathered.is_empty() {
            hosts.remove(name);
        } else {
            gathered.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
            hosts.insert(name.into(), gathered.into());
        }
    }
}

/// For each of `routes` the entry that it had before, unless that would be another one now; and the entries that no
/// route has any more. As most changes are few and near to each other, what is alike at both ends is left aside first.
fn compare<'a>(
    before: &'a [Placed],
    routes: &[Route],
) -> (Vec<Option<&'a Arc<RouteEntry>>>, Vec<&'a Arc<RouteEntry>>) {
    let same = |(placed, route): &(&Placed, &Route)| placed.whole && placed.entry.spec == **route;
    let start = before.iter().zip(routes).take_while(same).count();
    let (left, right) = (&before[start..], &routes[start..]);
    let end = left.iter().rev().zip(right.iter().rev()).take_while(same).count();
    let middle = &left[..left.len() - end];
    let by_id: HashMap<&str, usize> =
        middle.iter().enumerate().map(|(at, placed)| (&*placed.entry.id, at)).collect();
    let mut stays = vec![false; middle.len()];
    let mut find = |route: &Route| {
        let at = *by_id.get(route.id.as_str())?;
        (!stays[at] && same(&(&middle[at], route))).then(|| {
            stays[at] = true;
            &middle[at].entry
        })
    };
    let mut kept: Vec<_> = before[..start].iter().map(|placed| Some(&placed.entry)).collect();
    kept.extend(right[..right.len() - end].iter().map(&mut find));
    kept.extend(left[middle.len()..].iter().map(|placed| Some(&placed.entry)));
    let gone = middle.iter().zip(stays).filter(|(_, stays)| !stays).map(|(placed, _)| &placed.entry);
    (kept, gone.collect())
}

/// Adds a route to those of its names that are gathered.
fn gather(names: &mut HashMap<&str, Gathered>, entry: &Arc<RouteEntry>, report: &mut impl FnMut(String)) {
    let Route { id, hosts, path: whole_path, .. } = &entry.spec;
    let path = whole_path.trim_end_matches('/');
    for name in hosts {
        let Some(gathered) = names.get_mut(name.as_str()) else { continue };
        let host = name.strip_prefix("*.").unwrap_or(name);
        if host_key(host).is_none_or(|key| key != host) {
            report(format!("has host `{name}`, which is not a lower-case host name"));
            continue;
        }
        match gathered.iter().find(|(other, _)| other.as_ref() == path) {
            Some((_, other)) if *other.id == **id => {}
            Some((_, other)) => {
                report(format!("wants `{name}{whole_path}`, which route `{}` has already", other.id));
            }
            None => gathered.push((path.into(), Arc::clone(entry))),
        }
    }
}
