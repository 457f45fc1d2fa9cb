//! What went wrong with an order, in words for the owner of the name.

use chrono::{DateTime, Utc};
use instant_acme::{Error, Problem};
use protocol::job::{CertificateOrder, ChallengeKind, Failure, Stage};

/// Why an order ended.
#[derive(Debug)]
pub(super) enum Trouble {
    Acme(Error),
    /// The challenge did not get to where the CA looks.
    Publish(anyhow::Error),
    NoChallenge(ChallengeKind),
    /// Something of ours or of the configuration.
    Setup(String),
    TooLong,
}

/// An order that ended without a certificate.
#[derive(Debug)]
pub struct Refusal {
    pub failure: Failure,
    /// Before this the CA wants no other order.
    pub until: Option<DateTime<Utc>>,
}

impl Trouble {
    /// Whether the CA may have said until when.
    pub(super) fn is_a_limit(&self) -> bool {
        matches!(self, Self::Acme(Error::Api(_) | Error::Json(_)))
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Acme(error)
    }
}

const NAMESPACE: &str = "urn:ietf:params:acme:error:";

fn kind(problem: &Problem) -> &str {
    problem.r#type.as_deref().and_then(|kind| kind.strip_prefix(NAMESPACE)).unwrap_or_default()
}

/// Whether the CA takes no more orders of an account: it has forgotten or deactivated it.
pub(super) fn is_lost_account(problem: &Problem) -> bool {
    matches!(kind(problem), "accountDoesNotExist" | "unauthorized")
}

/// Whether an order may be taken that does not say what it replaces.
pub(super) fn is_about_the_replaced(problem: &Problem) -> bool {
    matches!(kind(problem), "alreadyReplaced" | "malformed")
}

pub(super) fn is_bad_nonce(problem: &Problem) -> bool {
    kind(problem) == "badNonce"
}

/// A failure without more than a code and a sentence.
pub(crate) fn failure(code: &str, message: impl Into<String>) -> Failure {
    Failure {
        code: code.to_owned(),
        message: message.into(),
        hint: None,
        stage: Stage::Route,
        exit_code: None,
        out_of_memory: false,
        last_lines: Vec::new(),
        probe: None,
    }
}

pub(super) fn explain(trouble: &Trouble, order: &CertificateOrder) -> Failure {
    let CertificateOrder { host, directory, .. } = order;
    let (code, message, hint) = match trouble {
        Trouble::Acme(Error::Api(problem)) => return explain_problem(problem, order),
        Trouble::Acme(Error::Timeout(_)) | Trouble::TooLong => (
            "acme_timeout",
            format!("The CA did not finish the certificate for {host} in time."),
            "Order again in a few minutes; if it stays so, look at the CA's status page.".to_owned(),
        ),
        Trouble::Acme(error @ (Error::Hyper(_) | Error::Http(_) | Error::InvalidUri(_) | Error::Other(_))) => (
            "acme_unreachable",
            format!("The CA at {directory} cannot be reached: {}", chain(error)),
            "Check `acme.directory` and `acme.root_certificate`, and that this proxy may connect out on port 443."
                .to_owned(),
        ),
        Trouble::Acme(error) => (
            "acme_failed",
            format!("The CA at {directory} answered something unexpected: {}", chain(error)),
            "Check that `acme.directory` is the URL of an ACME directory.".to_owned(),
        ),
        Trouble::Publish(error) if order.challenge == ChallengeKind::Dns01 => (
            "acme_dns_not_published",
            format!("The TXT record for {host} did not get to all name servers: {error:#}"),
            "Check the DNS provider: `wh dns-provider test`.".to_owned(),
        ),
        Trouble::Publish(error) => (
            "acme_challenge_not_published",
            format!("The challenge for {host} did not get onto every proxy: {error:#}"),
            "Check on the nodes page that every proxy is online.".to_owned(),
        ),
        Trouble::NoChallenge(kind) => (
            "acme_no_challenge",
            format!("The CA offers no {kind} challenge for {host}."),
            "Choose another one with `acme.challenge`; wildcard names need a DNS provider.".to_owned(),
        ),
        Trouble::Setup(problem) => (
            "acme_failed",
            format!("The certificate for {host} cannot be ordered: {problem}."),
            "Check the `[acme]` section of the control plane's configuration.".to_owned(),
        ),
    };
    Failure { hint: Some(hint), ..failure(code, message) }
}

fn explain_problem(problem: &Problem, order: &CertificateOrder) -> Failure {
    let (host, said) = (&order.host, said(problem));
    let (code, message, hint) = match kind(problem) {
        "dns" => (
            "acme_dns",
            format!("The CA finds no usable address for {host}: {said}"),
            format!("Point an A or AAAA record of {host} at the proxies, wait until it is visible, and order again."),
        ),
        "connection" | "tls" => (
            "acme_connection",
            format!("The CA could not fetch the challenge from {host}: {said}"),
            match order.challenge {
                ChallengeKind::Dns01 => "Check that the zone's name servers answer the whole internet.".to_owned(),
                kind => format!(
                    "Check that {host} points at the proxies, and that port {} is open to the whole internet.",
                    if kind == ChallengeKind::Http01 { 80 } else { 443 }
                ),
            },
        ),
        "unauthorized" | "incorrectResponse" => (
            "acme_wrong_answer",
            format!("Something else than the proxies answered the CA on {host}: {said}"),
            format!("Check that every A and AAAA record of {host} points at the proxies, with no other server in front."),
        ),
        "rateLimited" => (
            "acme_rate_limited",
            format!("The CA's rate limit is reached: {said}"),
            "Wait until the time that the CA names; until then the app is served without its own certificate.".to_owned(),
        ),
        "caa" => (
            "acme_caa",
            format!("A CAA record forbids this CA to issue for {host}: {said}"),
            format!("Add the CA to the CAA records of {host} or its parent domain."),
        ),
        "rejectedIdentifier" | "unsupportedIdentifier" => (
            "acme_rejected",
            format!("The CA does not issue for {host}: {said}"),
            "Use a name that the CA accepts: a public domain name that is not on its block list.".to_owned(),
        ),
        "externalAccountRequired" | "userActionRequired" | "invalidContact" | "unsupportedContact" => (
            "acme_account",
            format!("The CA does not accept the account: {said}"),
            "Check `acme.contact`, and whether the CA wants you to agree to new terms.".to_owned(),
        ),
        _ => (
            "acme_refused",
            format!("The CA refused the order for {host}: {said}"),
            "Order again later; if it stays so, look at the CA's status page.".to_owned(),
        ),
    };
    Failure { hint: Some(hint), ..failure(code, message) }
}

/// The CA's own words, cut to what a person reads.
fn said(problem: &Problem) -> String {
    let details = problem.subproblems.iter().filter_map(|part| part.detail.as_deref());
    let words: Vec<&str> = problem.detail.as_deref().into_iter().chain(details).collect();
    let words = if words.is_empty() { kind(problem).to_owned() } else { words.join("; ") };
    words.chars().filter(|letter| !letter.is_control()).take(400).collect()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> CertificateOrder {
        CertificateOrder::new("app.test", "https://ca.test/dir")
    }

    fn problem(kind: &str) -> Trouble {
        let json = serde_json::json!({ "type": format!("{NAMESPACE}{kind}"), "detail": "the CA's words" });
        Trouble::Acme(Error::Api(serde_json::from_value(json).expect("problem")))
    }

    #[test]
    fn each_refusal_has_its_code_the_cas_words_and_a_remedy() {
        for (kind, code) in [
            ("dns", "acme_dns"),
            ("connection", "acme_connection"),
            ("unauthorized", "acme_wrong_answer"),
            ("rateLimited", "acme_rate_limited"),
            ("caa", "acme_caa"),
            ("rejectedIdentifier", "acme_rejected"),
            ("invalidContact", "acme_account"),
            ("somethingNew", "acme_refused"),
        ] {
            let failure = explain(&problem(kind), &order());
            assert_eq!(failure.code, code, "{kind}");
            assert!(failure.message.contains("the CA's words") && failure.hint.is_some(), "{failure:?}");
        }
    }

    #[test]
    fn the_port_that_must_be_open_is_the_one_of_the_challenge() {
        for (challenge, words) in [
            (ChallengeKind::Http01, "port 80"),
            (ChallengeKind::TlsAlpn01, "port 443"),
            (ChallengeKind::Dns01, "name servers"),
        ] {
            let hint = explain(&problem("connection"), &CertificateOrder { challenge, ..order() }).hint;
            assert!(hint.as_ref().is_some_and(|hint| hint.contains(words)), "{hint:?}");
        }
    }

    #[test]
    fn a_ca_out_of_reach_is_told_apart_from_one_that_refuses() {
        let unreachable = Trouble::Acme(Error::Other("connection refused".into()));
        let failure = explain(&unreachable, &order());
        assert_eq!(failure.code, "acme_unreachable");
        assert!(failure.message.contains("https://ca.test/dir"), "{failure:?}");
        assert_eq!(explain(&Trouble::TooLong, &order()).code, "acme_timeout");
    }
}
