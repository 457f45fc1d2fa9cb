//! What to do about a failed order, where more can be said than the proxy could.

use url::Url;

use super::cloudflare;

/// The remedy for an order of `host` at the CA of `directory` that failed with `code` and `problem`; `hint` is the
/// proxy's.
pub fn remedy(
    host: &str,
    directory: &str,
    code: Option<&str>,
    problem: &str,
    hint: Option<String>,
) -> Option<String> {
    let code = code.unwrap_or_default();
    let is_challenge = ["acme_connection", "acme_wrong_answer", "acme_dns"].contains(&code);
    if is_challenge && let Some(address) = cloudflare::address_in(problem) {
        return Some(format!(
            "Cloudflare ({address}, the orange cloud) answers the CA for {host} instead of the proxies. \
             Set its record to `DNS only` (the grey cloud) until the certificate is there, or prove the name by a DNS \
             record (DNS-01). With the cloud orange afterwards choose `Full (strict)` as its encryption mode and switch \
             `Always Use HTTPS` off for /.well-known/acme-challenge/*; or import an origin certificate of Cloudflare's."
        ));
    }
    if code == "acme_caa"
        && let Some(ca) = caa_of(directory)
    {
        return Some(format!(
            "Add `{host}. CAA 0 issue \"{ca}\"` beside the CAA records that {host} or a parent domain has, wait until it \
             is visible, and order again."
        ));
    }
    hint
}

/// What CAA records call the CA.
fn caa_of(directory: &str) -> Option<&'static str> {
    let url = Url::parse(directory).ok()?;
    let host = url.host_str()?;
    let known = [
        ("letsencrypt.org", "letsencrypt.org"),
        ("zerossl.com", "sectigo.com"),
        ("pki.goog", "pki.goog"),
        ("buypass.com", "buypass.com"),
        ("ssl.com", "ssl.com"),
    ];
    let is_of = |domain: &str| host == domain || host.ends_with(&format!(".{domain}"));
    known.into_iter().find(|(domain, _)| is_of(domain)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

    fn of(code: &str, problem: &str, directory: &str) -> String {
        remedy("shop.test", directory, Some(code), problem, Some("the proxy's".to_owned())).expect("remedy")
    }

    #[test]
    fn the_orange_cloud_is_seen_in_the_address_that_the_ca_names() {
        let text = of("acme_wrong_answer", "… shop.test: 104.21.3.4: Invalid response: 526", LETS_ENCRYPT);
        assert!(text.contains("orange cloud") && text.contains("104.21.3.4"), "{text}");
        assert_eq!(
            of("acme_wrong_answer", "203.0.113.7: Invalid response: 404", LETS_ENCRYPT),
            "the proxy's"
        );
        assert_eq!(of("acme_rate_limited", "see 104.21.3.4", LETS_ENCRYPT), "the proxy's");
    }

    #[test]
    fn a_caa_record_is_spelled_out_for_a_ca_whose_name_is_known() {
        let text = of("acme_caa", "CAA record for shop.test prevents issuance", LETS_ENCRYPT);
        assert!(text.contains("`shop.test. CAA 0 issue \"letsencrypt.org\"`"), "{text}");
        assert_eq!(of("acme_caa", "forbidden", "https://ca.notletsencrypt.org/dir"), "the proxy's");
    }
}
