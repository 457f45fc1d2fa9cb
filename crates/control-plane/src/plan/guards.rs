//! Apps that decide on the requests of others (`forward_auth`): where each is asked.

use std::collections::{HashMap, HashSet};

use protocol::ids::AppId;
use protocol::spec::RouteOptions;
use protocol::spec::forward_auth::Target;

use super::routes::{Backend, Served, upstreams};

/// An app, and the slug by which it names another one.
pub type Named = (AppId, String);

/// Who is named by whom.
pub fn wanted(served: &[Served]) -> HashSet<Named> {
    let named = |app: &Served| {
        let of = app.app_id;
        let all = std::iter::once(&app.options).chain(app.sites.iter().map(|site| &site.options));
        all.filter_map(move |options| Some((of, slug(options)?))).collect::<Vec<_>>()
    };
    served.iter().flat_map(named).collect()
}

/// Puts the instances of the apps that are asked into the options that name them. What stood there before was nobody's
/// to say. A name that is not among `guards` is nobody, and lets nobody in.
pub(crate) fn appoint(
    served: &mut [Served],
    guards: &HashMap<Named, AppId>,
    backends: &HashMap<AppId, Vec<Backend>>,
) {
    for app in served {
        let of = app.app_id;
        for options in
            std::iter::once(&mut app.options).chain(app.sites.iter_mut().map(|site| &mut site.options))
        {
            let guard = slug(options).and_then(|slug| guards.get(&(of, slug)));
            let instances = guard.and_then(|guard| backends.get(guard)).map(|found| upstreams(found));
            if let Some(auth) = &mut options.forward_auth {
                auth.instances =
                    instances.unwrap_or_default().into_iter().map(|upstream| upstream.address).collect();
            }
        }
    }
}

fn slug(options: &RouteOptions) -> Option<String> {
    match options.forward_auth.as_ref()?.target() {
        Target::App { slug, .. } => Some(slug.to_owned()),
        Target::Address(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use protocol::ids::InstanceId;
    use protocol::report::InstanceState;
    use protocol::spec::ForwardAuth;

    use super::*;
    use crate::plan::routes::Site;

    fn asks(url: &str) -> RouteOptions {
        let instances = vec![SocketAddr::from(([10, 50, 0, 1], 8081))];
        let auth = ForwardAuth { instances, ..ForwardAuth::new(url) };
        RouteOptions { forward_auth: Some(auth), ..RouteOptions::default() }
    }

    fn served(options: RouteOptions, of_site: RouteOptions) -> Served {
        let site = Site { host: "a.test".to_owned(), domain: None, options: of_site, branches: Vec::new() };
        Served {
            app_id: AppId::new(),
            slug: "a".to_owned(),
            stopped: false,
            starting: false,
            options,
            sites: vec![site],
            backends: Vec::new(),
        }
    }

    fn instances(options: &RouteOptions) -> &[SocketAddr] {
        &options.forward_auth.as_ref().expect("set").instances
    }

    #[test]
    fn a_guard_is_asked_at_its_healthy_instances_and_nobody_else_is() {
        let mut all = [
            served(asks("app:door/verify"), asks("app:other")),
            served(asks("https://auth.test/"), RouteOptions::default()),
        ];
        let app = all[0].app_id;
        let named = |slug: &str| (app, slug.to_owned());
        assert_eq!(wanted(&all), HashSet::from([named("door"), named("other")]));
        let backend = |port, state| Backend {
            instance: InstanceId::new(),
            address: Ipv4Addr::new(10, 50, 0, 2),
            port,
            state,
            unreached: false,
        };
        let door = AppId::new();
        let found = vec![backend(20000, InstanceState::Healthy), backend(20001, InstanceState::Unhealthy)];
        // `other` is of another project, or of none: it is not found.
        appoint(&mut all, &HashMap::from([(named("door"), door)]), &HashMap::from([(door, found)]));
        assert_eq!(instances(&all[0].options), ["10.50.0.2:20000".parse().expect("address")]);
        assert!(instances(&all[0].sites[0].options).is_empty());
        assert!(instances(&all[1].options).is_empty(), "an address outside has no instances");
    }
}
