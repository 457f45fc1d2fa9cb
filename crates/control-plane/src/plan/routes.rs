//! The route table: hostname to healthy instances.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use protocol::ids::{AppId, DomainId, InstanceId};
use protocol::report::InstanceState;
use protocol::spec::{Certificate, HttpChallenge, ProxySpec, Route, RouteOptions, Unavailable, Upstream};
use uuid::Uuid;

/// The control plane itself, for proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Front {
    /// Host of `base_url`.
    pub host: String,
    /// Its listener for them.
    pub upstream: SocketAddr,
}

/// What the front is called in metrics and logs; no app may have this slug.
const FRONT: &str = "control-plane";

impl Front {
    fn route(&self, https_only: bool) -> Route {
        let upstream = Upstream { instance: InstanceId(Uuid::nil()), address: self.upstream, weight: 1 };
        Route {
            id: FRONT.to_owned(),
            app: FRONT.to_owned(),
            hosts: vec![self.host.clone()],
            path: "/".to_owned(),
            upstreams: vec![upstream],
            https_only,
            options: Box::default(),
            unavailable: None,
        }
    }
}

/// An app that the proxies answer for.
#[derive(Debug, Clone)]
pub struct Served {
    pub app_id: AppId,
    pub slug: String,
    pub stopped: bool,
    /// A deployment is on its way.
    pub starting: bool,
    pub options: RouteOptions,
    pub sites: Vec<Site>,
    /// Its instances in rotation.
    pub backends: Vec<Backend>,
}

/// One of an app's host names.
#[derive(Debug, Clone)]
pub struct Site {
    pub host: String,
    /// Absent for the app's own name in its zone.
    pub domain: Option<DomainId>,
    /// The app's, with what the domain changes.
    pub options: RouteOptions,
    pub branches: Vec<Branch>,
}

/// A path of a host that leads to another app.
#[derive(Debug, Clone)]
pub struct Branch {
    pub id: Uuid,
    pub path: String,
    pub app_id: AppId,
    pub strip_prefix: bool,
}

/// An instance that is in rotation.
#[derive(Debug, Clone)]
pub struct Backend {
    pub instance: InstanceId,
    pub address: Ipv4Addr,
    pub port: u16,
    pub state: InstanceState,
    /// Its node is missing, and no proxy reaches it either.
    pub unreached: bool,
}

/// The front, then the apps' routes: one for the host names that have the app's own options, one for each that has
/// others, one for each path that leads elsewhere. Instances that do not serve are left out; an app without any, be it
/// stopped or broken, keeps its routes, so that the proxy can say that it is unavailable. A host that an app had
/// before the front did has no route: passwords are typed there.
pub fn routes(front: Option<&Front>, served: &[Served], tls: bool) -> Vec<Route> {
    let mut in_order: Vec<&Served> = served.iter().collect();
    in_order.sort_by(|one, other| one.slug.cmp(&other.slug));
    let by_id: HashMap<AppId, &Served> = served.iter().map(|served| (served.app_id, served)).collect();
    let is_free = |site: &&Site| front.is_none_or(|front| front.host != site.host);
    let mut table: Vec<Route> = front.map(|front| front.route(tls)).into_iter().collect();
    for app in in_order {
        let mut sites: Vec<&Site> = app.sites.iter().filter(is_free).collect();
        sites.sort_by(|one, other| (one.domain, &one.host).cmp(&(other.domain, &other.host)));
        let (plain, own): (Vec<&Site>, Vec<&Site>) =
            sites.iter().copied().partition(|site| site.options == app.options);
        if !plain.is_empty() {
            let hosts = plain.iter().map(|site| site.host.clone()).collect();
            table.push(app.route(app.app_id.to_string(), hosts, &app.options, tls));
        }
        for site in own {
            let id = site.domain.map_or_else(|| app.app_id.to_string(), |domain| domain.to_string());
            table.push(app.route(id, vec![site.host.clone()], &site.options, tls));
        }
        for site in sites {
            table.extend(branches(site, &by_id, tls));
        }
    }
    drop_lost_hosts(&mut table);
    table
}

/// A name that is not served any more, because it was removed or lapsed, is nowhere to send people to.
fn drop_lost_hosts(table: &mut [Route]) {
    let hosts: HashSet<String> = table.iter().flat_map(|route| route.hosts.clone()).collect();
    for route in table {
        route.options.canonical_host.take_if(|host| !hosts.contains(host));
    }
}

/// Requests of a branch are treated as those of the app that it leads to, but for what concerns the host: the way to
/// HTTPS and to the canonical name.
fn branches(site: &Site, apps: &HashMap<AppId, &Served>, tls: bool) -> Vec<Route> {
    let mut branches: Vec<&Branch> = site.branches.iter().collect();
    branches.sort_by(|one, other| one.path.cmp(&other.path));
    let lead = |branch: &&Branch| {
        let target = apps.get(&branch.app_id)?;
        let options = RouteOptions {
            strip_prefix: branch.strip_prefix,
            https_redirect: site.options.https_redirect,
            canonical_host: site.options.canonical_host.clone(),
            ..target.options.clone()
        };
        let route = target.route(branch.id.to_string(), vec![site.host.clone()], &options, tls);
        Some(Route { path: branch.path.clone(), ..route })
    };
    branches.iter().filter_map(lead).collect()
}

impl Served {
    fn route(&self, id: String, hosts: Vec<String>, options: &RouteOptions, tls: bool) -> Route {
        let upstreams = upstreams(&self.backends);
        Route {
            id,
            app: self.slug.clone(),
            hosts,
            path: "/".to_owned(),
            unavailable: if upstreams.is_empty() { Some(self.unavailable()) } else { None },
            upstreams,
            https_only: tls && options.https_redirect != Some(false),
            options: Box::new(options.clone()),
        }
    }

    fn unavailable(&self) -> Unavailable {
        let coming = |backend: &Backend| {
            matches!(backend.state, InstanceState::Pending | InstanceState::Pulling | InstanceState::Starting)
        };
        if self.starting || self.backends.iter().any(coming) {
            Unavailable::Starting
        } else if self.stopped {
            Unavailable::Stopped
        } else {
            Unavailable::Unhealthy
        }
    }
}

/// Those that serve, in a fixed order. When no proxy is said to reach any of them they are all tried: what is said may be
/// wrong, and nothing else is left.
pub(super) fn upstreams(backends: &[Backend]) -> Vec<Upstream> {
    let healthy = || backends.iter().filter(|backend| backend.state == InstanceState::Healthy);
    let any_reached = healthy().any(|backend| !backend.unreached);
    let mut upstreams: Vec<Upstream> = healthy()
        .filter(|backend| !(any_reached && backend.unreached))
        .map(|backend| Upstream {
            instance: backend.instance,
            address: SocketAddr::new(backend.address.into(), backend.port),
            weight: 1,
        })
        .collect();
    upstreams.sort_by_key(|upstream| upstream.instance);
    upstreams
}

/// Everything a proxy needs.
pub fn spec(
    front: Option<&Front>,
    served: &[Served],
    mut certificates: Vec<Certificate>,
    mut challenges: Vec<HttpChallenge>,
    https_only: bool,
) -> ProxySpec {
    certificates.sort_by(|one, other| one.hosts.cmp(&other.hosts));
    challenges.sort_by(|one, other| one.token.cmp(&other.token));
    ProxySpec {
        routes: routes(front, served, https_only).into_iter().map(Arc::new).collect(),
        certificates: certificates.into_iter().map(Arc::new).collect(),
        challenges,
        ..ProxySpec::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(host: &str, options: RouteOptions) -> Site {
        Site { host: host.to_owned(), domain: Some(DomainId::new()), options, branches: Vec::new() }
    }

    fn served(slug: &str, backends: Vec<Backend>) -> Served {
        let host = format!("{slug}.route.test");
        let own = Site { host, domain: None, options: RouteOptions::default(), branches: Vec::new() };
        Served {
            app_id: AppId::new(),
            slug: slug.to_owned(),
            stopped: false,
            starting: false,
            options: RouteOptions::default(),
            sites: vec![own],
            backends,
        }
    }

    fn backend(port: u16, state: InstanceState) -> Backend {
        let address = Ipv4Addr::new(10, 50, 0, 2);
        Backend { instance: InstanceId::new(), address, port, state, unreached: false }
    }

    #[test]
    fn the_order_of_rows_does_not_change_the_table() {
        let healthy = |port| backend(port, InstanceState::Healthy);
        let mut rows =
            vec![served("zoo", vec![healthy(20002)]), served("ape", vec![healthy(20000), healthy(20001)])];
        let table = routes(None, &rows, true);
        rows.reverse();
        rows[0].backends.reverse();
        assert_eq!(routes(None, &rows, true), table);
        assert_eq!(table[0].hosts, ["ape.route.test"]);
        assert_eq!(table[0].upstreams.len(), 2);
    }

    #[test]
    fn an_app_of_which_nothing_serves_keeps_a_route_without_upstreams() {
        let failing = vec![backend(20000, InstanceState::Unhealthy), backend(20001, InstanceState::Exited)];
        let table = routes(None, &[served("ape", failing), served("bee", Vec::new())], false);
        assert_eq!(table.len(), 2);
        assert!(table.iter().all(|route| route.upstreams.is_empty()));
    }

    #[test]
    fn an_instance_that_no_proxy_reaches_gets_requests_only_if_no_other_can() {
        let ports = |backends: &[Backend]| {
            upstreams(backends).iter().map(|upstream| upstream.address.port()).collect::<Vec<_>>()
        };
        let (here, ill) = (backend(20000, InstanceState::Healthy), backend(20001, InstanceState::Unhealthy));
        let gone = Backend { unreached: true, ..backend(20002, InstanceState::Healthy) };
        assert_eq!(ports(&[here, ill.clone(), gone.clone()]), [20000]);
        assert_eq!(ports(&[ill, gone]), [20002]);
    }

    #[test]
    fn an_app_without_upstreams_says_why() {
        let why = |app: Served| routes(None, &[app], false)[0].unavailable;
        let starting = vec![backend(20000, InstanceState::Starting), backend(20001, InstanceState::Exited)];
        assert_eq!(why(served("ape", starting)), Some(Unavailable::Starting));
        assert_eq!(why(served("ape", Vec::new())), Some(Unavailable::Unhealthy));
        assert_eq!(why(Served { stopped: true, ..served("ape", Vec::new()) }), Some(Unavailable::Stopped));
        assert_eq!(why(served("ape", vec![backend(20000, InstanceState::Healthy)])), None);
    }

    #[test]
    fn domains_share_the_apps_route_unless_they_have_options_of_their_own() {
        let open = RouteOptions { https_redirect: Some(false), ..RouteOptions::default() };
        let mut app = served("ape", vec![backend(20000, InstanceState::Healthy)]);
        app.sites.extend([site("a.test", RouteOptions::default()), site("b.test", open)]);
        let table = routes(None, &[app.clone()], true);
        assert_eq!(table.len(), 2);
        assert_eq!(table[0].hosts, ["ape.route.test", "a.test"]);
        assert!(table[0].https_only);
        assert_eq!((table[1].hosts.as_slice(), table[1].https_only), (&["b.test".to_owned()][..], false));
        assert_eq!(table[1].id, app.sites[2].domain.expect("domain").to_string());
        assert_eq!(table[1].upstreams, table[0].upstreams);
    }

    #[test]
    fn a_path_leads_to_another_app_with_that_apps_options_and_the_hosts_way_to_https() {
        let mut api = served("api", vec![backend(20001, InstanceState::Healthy)]);
        api.options.compress = true;
        let mut app = served("ape", vec![backend(20000, InstanceState::Healthy)]);
        let open = RouteOptions { https_redirect: Some(false), ..RouteOptions::default() };
        let mut shop = site("shop.test", open);
        let gone =
            Branch { id: Uuid::now_v7(), path: "/x".to_owned(), app_id: AppId::new(), strip_prefix: false };
        let lead =
            Branch { id: Uuid::now_v7(), path: "/api".to_owned(), app_id: api.app_id, strip_prefix: true };
        shop.branches = vec![gone, lead.clone()];
        app.sites.push(shop);
        let table = routes(None, &[api, app], true);
        let branch = table.iter().find(|route| route.id == lead.id.to_string()).expect("a route");
        assert_eq!((branch.path.as_str(), branch.app.as_str()), ("/api", "api"));
        assert_eq!(branch.hosts, ["shop.test"]);
        assert_eq!(branch.upstreams[0].address.port(), 20001);
        assert!(branch.options.strip_prefix && branch.options.compress && !branch.https_only);
        assert_eq!(table.len(), 4, "a path whose app is gone has no route");
    }

    #[test]
    fn requests_are_sent_to_a_canonical_host_only_while_it_is_served() {
        let to =
            |host: &str| RouteOptions { canonical_host: Some(host.to_owned()), ..RouteOptions::default() };
        let mut app = served("ape", vec![backend(20000, InstanceState::Healthy)]);
        app.sites.extend([site("a.test", to("ape.route.test")), site("b.test", to("lapsed.test"))]);
        let table = routes(None, &[app], true);
        let canonical = |id: usize| table[id].options.canonical_host.as_deref();
        assert_eq!((canonical(1), canonical(2)), (Some("ape.route.test"), None));
    }

    #[test]
    fn a_path_on_a_host_stays_on_that_host_whatever_the_canonical_one_of_its_app() {
        let mut api = served("api", vec![backend(20001, InstanceState::Healthy)]);
        api.options.canonical_host = Some("api.route.test".to_owned());
        let mut app = served("ape", vec![backend(20000, InstanceState::Healthy)]);
        let lead =
            Branch { id: Uuid::now_v7(), path: "/api".to_owned(), app_id: api.app_id, strip_prefix: false };
        app.sites[0].branches = vec![lead.clone()];
        let table = routes(None, &[api, app], true);
        let branch = table.iter().find(|route| route.id == lead.id.to_string()).expect("a route");
        assert_eq!(branch.options.canonical_host, None);
    }

    #[test]
    fn the_front_comes_first_and_an_app_cannot_have_its_host() {
        let front =
            Front { host: "ape.route.test".to_owned(), upstream: "10.50.0.1:8082".parse().expect("address") };
        let rows = [
            served("ape", vec![backend(20000, InstanceState::Healthy)]),
            served("bee", vec![backend(20001, InstanceState::Healthy)]),
        ];
        let table = routes(Some(&front), &rows, true);
        let apps: Vec<&str> = table.iter().map(|route| route.app.as_str()).collect();
        assert_eq!(apps, ["control-plane", "bee"]);
        assert_eq!(table[0].hosts, ["ape.route.test"]);
        assert_eq!(table[0].upstreams[0].address, front.upstream);
        assert!(table[0].https_only);
    }
}
