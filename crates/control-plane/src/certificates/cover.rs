//! Which certificate a host name is served with, if that is not one of its own name.

use chrono::{DateTime, Utc};
use protocol::ids::OrganizationId;
use sqlx::PgConnection;

use super::imports::cover::{covers, wildcard_of};
use super::store;
use crate::apps::{Certificate, Certification};

/// A certificate that proxies serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    pub names: Vec<String>,
    pub issuer: Option<String>,
    pub not_after: DateTime<Utc>,
    /// Brought by a person, not ordered.
    pub imported: bool,
}

/// The first of `served` that is good for the host, and its name that makes it so.
fn over<'a>(host: &str, served: &'a [Served]) -> Option<(&'a Served, &'a str)> {
    served
        .iter()
        .find_map(|served| Some((served, served.names.iter().find(|name| covers(name, host))?.as_str())))
}

impl Certificate {
    /// Tells of the certificate that takes the place of one of the host's own.
    fn cover(&mut self, host: &str, served: &[Served]) {
        // Where a resolver of Traefik's own orders, what we ordered is not served.
        let ours = self.state != Certification::Elsewhere;
        let Some((served, name)) =
            over(host, served).filter(|(served, name)| served.imported || ours && *name != host)
        else {
            return;
        };
        *self = Self {
            state: Certification::Issued,
            not_after: Some(served.not_after),
            issuer: served.issuer.clone(),
            error: None,
            covered_by: Some(name.to_owned()).filter(|name| name != host),
        };
    }
}

/// Completes what is known of the certificates of an organization's hosts that are served.
pub async fn complete<'a>(
    conn: &mut PgConnection,
    organization: OrganizationId,
    hosts: impl Iterator<Item = (&'a str, &'a mut Certificate)>,
) -> sqlx::Result<()> {
    let hosts: Vec<_> = hosts.collect();
    let mut names: Vec<String> =
        hosts.iter().flat_map(|(host, _)| [Some((*host).to_owned()), wildcard_of(host)]).flatten().collect();
    names.sort_unstable();
    names.dedup();
    let served = store::served(conn, organization, &names).await?;
    for (host, certificate) in hosts {
        certificate.cover(host, &served);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(names: &[&str], imported: bool) -> Served {
        let end = "2026-06-01T12:00:00Z".parse().expect("time");
        let names = names.iter().copied().map(ToOwned::to_owned).collect();
        Served { names, issuer: Some("Test CA".to_owned()), not_after: end, imported }
    }

    fn pending() -> Certificate {
        let error = Some("refused".to_owned());
        Certificate { state: Certification::Failed, not_after: None, issuer: None, error, covered_by: None }
    }

    #[test]
    fn a_wildcard_stands_in_for_one_label_and_is_named() {
        let all = [served(&["*.shop.test"], false)];
        let mut covered = pending();
        covered.cover("www.shop.test", &all);
        assert_eq!((covered.state, covered.error.as_deref()), (Certification::Issued, None));
        assert_eq!(
            (covered.covered_by.as_deref(), covered.not_after),
            (Some("*.shop.test"), Some(all[0].not_after))
        );
        for host in ["shop.test", "a.www.shop.test", "www.shop.test.example"] {
            let mut own = pending();
            own.cover(host, &all);
            assert_eq!((own.state, own.covered_by), (Certification::Failed, None), "{host}");
        }
    }

    #[test]
    fn beside_a_resolver_of_its_own_only_what_was_brought_is_served() {
        for (imported, state) in [(false, Certification::Elsewhere), (true, Certification::Issued)] {
            let mut own = Certificate { state: Certification::Elsewhere, ..pending() };
            own.cover("www.shop.test", &[served(&["*.shop.test"], imported)]);
            assert_eq!(own.state, state);
        }
    }

    #[test]
    fn the_first_that_fits_is_served_and_what_is_known_of_a_hosts_own_order_stays() {
        let mut own = pending();
        own.cover("www.shop.test", &[served(&["www.shop.test"], false), served(&["*.shop.test"], false)]);
        assert_eq!((own.state, own.error.as_deref()), (Certification::Failed, Some("refused")));
        let mut brought = pending();
        brought.cover("shop.test", &[served(&["*.shop.test", "shop.test"], true)]);
        assert_eq!((brought.state, brought.covered_by), (Certification::Issued, None));
    }
}
