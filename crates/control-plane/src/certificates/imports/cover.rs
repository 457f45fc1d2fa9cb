//! Which host names a certificate may be served for.

use std::collections::HashSet;
use std::sync::Arc;

use protocol::spec::Certificate;

/// Whose a host name is, seen from the organization that brings a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Own,
    Others,
    /// Of others, served, and without a certificate of ours: a resolver of Traefik's own orders it.
    Resolvers,
    /// The dashboard's, and wildcards of zones whose certificates a resolver of Traefik's own orders.
    Platform,
}

/// A host name and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    pub host: String,
    pub owner: Owner,
}

/// Whether the name of a certificate is good for `host`. A wildcard stands for exactly one label; a host that is a
/// wildcard itself needs the same one.
pub fn covers(name: &str, host: &str) -> bool {
    name == host
        || name.strip_prefix("*.").is_some_and(|parent| {
            host.split_once('.')
                .is_some_and(|(label, rest)| rest == parent && !label.is_empty() && label != "*")
        })
}

/// The wildcard that covers `host`, whether or not there is one.
pub fn wildcard_of(host: &str) -> Option<String> {
    host.split_once('.').map(|(_, parent)| format!("*.{parent}"))
}

/// The host names that the certificate for `names` is served for: the organization's own that it covers, and its names
/// below a wildcard host of the organization's that nobody else has. For none while it fits a name of others that is a
/// resolver's: a Traefik that is given it orders nothing for that name.
pub fn served<'a>(names: &'a [String], owned: &'a [Owned]) -> Vec<&'a str> {
    let resolvers = |name: &String| {
        owned.iter().any(|owned| owned.owner == Owner::Resolvers && covers(name, &owned.host))
    };
    if names.iter().any(resolvers) {
        return Vec::new();
    }
    let own = || owned.iter().filter(|owned| owned.owner == Owner::Own).map(|owned| owned.host.as_str());
    let hosts = own().filter(|host| names.iter().any(|name| covers(name, host)));
    let is_taken = |name: &str| owned.iter().any(|owned| owned.owner != Owner::Own && owned.host == name);
    let below = names
        .iter()
        .map(String::as_str)
        .filter(|name| own().any(|host| host != *name && covers(host, name)) && !is_taken(name));
    let mut served: Vec<&str> = hosts.chain(below).collect();
    served.sort_unstable();
    served.dedup();
    served
}

/// Those of `hosts` for which no certificate of `served` is, although one for `names` would fit them. Whoever is given
/// that certificate and looks at its names alone would show it for them.
pub fn strangers<'a>(
    hosts: impl Iterator<Item = &'a String>,
    names: &[String],
    served: &[Arc<Certificate>],
) -> Vec<String> {
    if names.is_empty() {
        return Vec::new();
    }
    let all: HashSet<&str> =
        served.iter().flat_map(|certificate| &certificate.hosts).map(String::as_str).collect();
    let has_own =
        |host: &str| all.contains(host) || wildcard_of(host).is_some_and(|name| all.contains(name.as_str()));
    let mut strangers: Vec<String> =
        hosts.filter(|host| names.iter().any(|name| covers(name, host)) && !has_own(host)).cloned().collect();
    strangers.sort_unstable();
    strangers.dedup();
    strangers
}

/// Why a certificate is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// A name of it is, or covers, a host name of others.
    OfOthers(&'a str),
    /// No app of the organization has any of its names.
    OfNobody,
}

/// Whether the organization may bring a certificate for `names`. A name that nobody has is let pass, because the usual
/// certificate is for a name and its `www` or its wildcard; it is not served.
pub fn check<'a>(names: &'a [String], owned: &[Owned]) -> Result<(), Refusal<'a>> {
    let is_own = |name: &String| owned.iter().any(|owned| owned.owner == Owner::Own && owned.host == *name);
    // The dashboard often has a name beside the apps', below the same wildcard.
    let is_of_others = |name: &&String| {
        owned.iter().any(|Owned { host, owner }| match owner {
            Owner::Own => false,
            Owner::Others | Owner::Resolvers => covers(name, host),
            Owner::Platform => *name == host || covers(host, name) && !is_own(name),
        })
    };
    if let Some(name) = names.iter().find(is_of_others) {
        return Err(Refusal::OfOthers(name));
    }
    if served(names, owned).is_empty() { Err(Refusal::OfNobody) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn owned(own: &[&str], others: &[&str]) -> Vec<Owned> {
        let owned = |owner| move |host: &&str| Owned { host: (*host).to_owned(), owner };
        own.iter().map(owned(Owner::Own)).chain(others.iter().map(owned(Owner::Others))).collect()
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        for (name, host, yes) in [
            ("a.test", "a.test", true),
            ("*.a.test", "x.a.test", true),
            ("*.a.test", "*.a.test", true),
            ("*.a.test", "a.test", false),
            ("*.a.test", "x.y.a.test", false),
            ("*.a.test", "xa.test", false),
            ("*.test", "*.a.test", false),
            ("a.test", "x.a.test", false),
        ] {
            assert_eq!(covers(name, host), yes, "{name} {host}");
        }
    }

    #[test]
    fn it_is_served_for_the_organizations_own_names_alone() {
        let all = owned(&["shop.test", "a.zone.test", "*.wild.test"], &["b.zone.test", "x.wild.test"]);
        assert_eq!(served(&names(&["shop.test", "www.shop.test"]), &all), ["shop.test"]);
        assert_eq!(served(&names(&["*.zone.test"]), &all), ["a.zone.test"]);
        assert_eq!(served(&names(&["*.wild.test"]), &all), ["*.wild.test"]);
        assert_eq!(served(&names(&["x.wild.test", "y.wild.test"]), &all), ["y.wild.test"]);
    }

    #[test]
    fn a_later_host_of_others_is_a_stranger_until_it_has_its_own() {
        let hosts = names(&["a.zone.test", "b.zone.test", "c.zone.test", "x.y.zone.test", "else.test"]);
        let certificate = |hosts: &[&str]| {
            let (chain_pem, key_pem) = (String::new(), String::new());
            Arc::new(Certificate { hosts: names(hosts), chain_pem, key_pem })
        };
        let brought = names(&["*.zone.test"]);
        let served = [certificate(&["a.zone.test"]), certificate(&["c.zone.test"])];
        assert_eq!(strangers(hosts.iter(), &brought, &served), ["b.zone.test"]);
        assert_eq!(strangers(hosts.iter(), &[], &served), [] as [&str; 0]);
        let wildcard = [certificate(&["*.zone.test"])];
        assert_eq!(strangers(hosts.iter(), &brought, &wildcard), [] as [&str; 0]);
    }

    #[test]
    fn names_of_others_and_of_nobody_are_refused() {
        let all = owned(&["shop.test", "a.zone.test"], &["b.zone.test", "theirs.test"]);
        assert_eq!(check(&names(&["shop.test", "www.shop.test"]), &all), Ok(()));
        assert_eq!(check(&names(&["shop.test", "theirs.test"]), &all), Err(Refusal::OfOthers("theirs.test")));
        assert_eq!(check(&names(&["*.zone.test"]), &all), Err(Refusal::OfOthers("*.zone.test")));
        assert_eq!(check(&names(&["free.test"]), &all), Err(Refusal::OfNobody));
        assert_eq!(check(&[], &all), Err(Refusal::OfNobody));
        let dashboard = Owned { host: "wh.test".to_owned(), owner: Owner::Platform };
        let with_dashboard = [owned(&["shop.test"], &[]), vec![dashboard]].concat();
        assert_eq!(check(&names(&["wh.test"]), &with_dashboard), Err(Refusal::OfOthers("wh.test")));
        assert_eq!(check(&names(&["shop.test", "*.test"]), &with_dashboard), Ok(()));
        assert_eq!(served(&names(&["*.test"]), &with_dashboard), ["shop.test"]);
    }

    #[test]
    fn names_of_a_resolvers_zone_that_others_can_get_are_refused() {
        let zone = Owned { host: "*.zone.test".to_owned(), owner: Owner::Platform };
        let all = [owned(&["a.zone.test"], &[]), vec![zone]].concat();
        assert_eq!(check(&names(&["a.zone.test"]), &all), Ok(()));
        for name in ["*.zone.test", "b.zone.test"] {
            assert_eq!(check(&names(&["a.zone.test", name]), &all), Err(Refusal::OfOthers(name)));
        }
    }

    #[test]
    fn one_that_fits_a_name_for_which_a_resolver_orders_is_not_served() {
        let theirs = Owned { host: "b.zone.test".to_owned(), owner: Owner::Resolvers };
        let all = [owned(&["a.zone.test"], &[]), vec![theirs]].concat();
        assert_eq!(served(&names(&["*.zone.test"]), &all), [] as [&str; 0]);
        assert_eq!(served(&names(&["a.zone.test"]), &all), ["a.zone.test"]);
    }
}
