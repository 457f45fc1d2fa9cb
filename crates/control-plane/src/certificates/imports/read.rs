//! From the files that people have to a chain and a key that can be served. Nothing here asks anybody or stores anything.

use chrono::{DateTime, TimeDelta, Utc};
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;
use x509_parser::public_key::PublicKey;

use crate::certificates::{Leaf, leaf};

/// More than anybody has; a limit to what is parsed.
const TEXT_LIMIT: usize = 128 * 1024;
const CHAIN_LIMIT: usize = 10;
const NAMES_LIMIT: usize = 100;
const RSA_BITS: usize = 2048;

/// A chain with its key, ready to be served.
#[derive(Debug)]
pub struct Read {
    /// The certificate first, then each one's issuer; a root is left out.
    pub chain_pem: String,
    pub chain: Vec<CertificateDer<'static>>,
    /// The key alone, as PEM.
    pub key_pem: String,
    pub leaf: Leaf,
    pub fingerprint: String,
    pub self_signed: bool,
    pub notes: Vec<String>,
}

/// What is wrong with the files: field, sentence, remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    pub field: &'static str,
    pub message: String,
    pub hint: &'static str,
}

fn wrong(field: &'static str, message: impl Into<String>, hint: &'static str) -> Wrong {
    Wrong { field, message: message.into(), hint }
}

/// Reads the certificates and the key, sorts the chain, and refuses what browsers would refuse for certain.
pub fn read(chain_pem: &str, key_pem: &str, now: DateTime<Utc>) -> Result<Read, Wrong> {
    let certificates = certificates(chain_pem)?;
    let key = key(key_pem)?;
    let first = own(&certificates, &key)?;
    let mut notes = Vec::new();
    let chain = sorted(&certificates, first, &mut notes);
    let chain_pem: String = chain.iter().map(pem).collect();
    let leaf = leaf(&chain_pem).map_err(|error| wrong("chain_pem", format!("{error:#}"), PEM_HINT))?;
    let (_, certificate) = parse_x509_certificate(&chain[0])
        .map_err(|error| wrong("chain_pem", format!("the certificate cannot be read: {error}"), PEM_HINT))?;
    check_strength(&certificate)?;
    check_time(&leaf, now)?;
    check_names(&leaf)?;
    let digest = Sha256::digest(&chain[0]);
    let fingerprint = digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
    let self_signed = certificate.subject().as_raw() == certificate.issuer().as_raw();
    let key_pem = key_text(key_pem);
    Ok(Read { chain_pem, chain, key_pem, leaf, fingerprint, self_signed, notes })
}

const PEM_HINT: &str = "Give PEM: text that begins with -----BEGIN CERTIFICATE-----. `openssl x509 -inform der -in FILE` makes it of DER, `openssl pkcs12 -in FILE -nodes` of a .pfx file";
const KEY_HINT: &str = "Give the private key that the certificate was asked for with, as PEM and without a passphrase: `openssl pkey -in key.pem -out plain.pem` takes one off";

fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    if text.len() > TEXT_LIMIT {
        return Err(wrong(
            "chain_pem",
            "the chain is larger than 128 KiB",
            "Leave out what is not of its chain",
        ));
    }
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| wrong("chain_pem", format!("the chain is not PEM: {error}"), PEM_HINT))?;
    match certificates.len() {
        0 => Err(wrong("chain_pem", "there is no certificate in it", PEM_HINT)),
        1..=CHAIN_LIMIT => Ok(certificates),
        many => Err(wrong(
            "chain_pem",
            format!("there are {many} certificates in it, and {CHAIN_LIMIT} are the most"),
            "Leave out what is not of its chain: this looks like a bundle of roots",
        )),
    }
}

fn key(text: &str) -> Result<PrivateKeyDer<'static>, Wrong> {
    if text.len() > TEXT_LIMIT {
        return Err(wrong("key_pem", "the key is larger than 128 KiB", KEY_HINT));
    }
    if text.contains("ENCRYPTED") {
        return Err(wrong("key_pem", "the key is protected by a passphrase", KEY_HINT));
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| wrong("key_pem", "there is no private key in it", KEY_HINT))
}

/// The block of the key, without what is around it: files often hold the chain as well.
fn key_text(text: &str) -> String {
    let is_edge =
        |line: &&str, word: &str| line.starts_with(word) && line.trim_end().ends_with("PRIVATE KEY-----");
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().skip_while(|line| !is_edge(line, "-----BEGIN ")) {
        lines.push(line.trim_end());
        if is_edge(&line, "-----END ") {
            break;
        }
    }
    lines.join("\n") + "\n"
}

/// The place of the certificate that the key belongs to.
fn own(certificates: &[CertificateDer<'static>], key: &PrivateKeyDer<'static>) -> Result<usize, Wrong> {
    let provider = CryptoProvider::get_default().expect("installed at the start of the program");
    if provider.key_provider.load_private_key(key.clone_key()).is_err() {
        // The commonest reason, and one that says what to do.
        for (_, certificate) in certificates.iter().filter_map(|der| parse_x509_certificate(der).ok()) {
            check_strength(&certificate)?;
        }
        return Err(wrong(
            "key_pem",
            "this kind of key cannot be used",
            "Use RSA of 2048 bits or more, or ECDSA with P-256 or P-384",
        ));
    }
    let belongs = |certificate: &CertificateDer<'static>| {
        CertifiedKey::from_der(vec![certificate.clone()], key.clone_key(), provider).is_ok()
    };
    certificates
        .iter()
        .position(belongs)
        .ok_or_else(|| wrong("key_pem", "the key belongs to none of the certificates", KEY_HINT))
}

/// From the certificate to the last issuer that is there. A root that is not the certificate itself is left out, because
/// clients have it or do not trust it.
fn sorted(
    certificates: &[CertificateDer<'static>],
    first: usize,
    notes: &mut Vec<String>,
) -> Vec<CertificateDer<'static>> {
    let mut rest: Vec<(&CertificateDer<'static>, X509Certificate<'_>)> =
        certificates.iter().filter_map(|der| Some((der, parse_x509_certificate(der).ok()?.1))).collect();
    let mut chain = Vec::new();
    let mut next = rest.iter().position(|(der, _)| *der == &certificates[first]);
    let mut roots = 0;
    while let Some(at) = next {
        let (der, certificate) = rest.swap_remove(at);
        let is_root = certificate.subject().as_raw() == certificate.issuer().as_raw();
        if is_root && !chain.is_empty() {
            roots = 1;
            break;
        }
        chain.push(der.clone());
        next = if is_root { None } else { rest.iter().position(|(_, other)| is_issuer(other, &certificate)) };
    }
    let unused = certificates.len() - chain.len() - roots;
    if unused > 0 {
        notes.push(format!(
            "{unused} of the certificates in the file are not of its chain and were left out."
        ));
    }
    chain
}

/// By name, and by key where both say which.
fn is_issuer(issuer: &X509Certificate<'_>, of: &X509Certificate<'_>) -> bool {
    use x509_parser::extensions::ParsedExtension;
    let wanted = of.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0),
        _ => None,
    });
    let own = issuer.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    });
    let same_key = match (wanted, own) {
        (Some(wanted), Some(own)) => wanted == own,
        _ => true,
    };
    issuer.subject().as_raw() == of.issuer().as_raw() && same_key
}

fn check_strength(certificate: &X509Certificate<'_>) -> Result<(), Wrong> {
    if let Ok(PublicKey::RSA(key)) = certificate.public_key().parsed()
        && key.key_size() < RSA_BITS
    {
        let bits = key.key_size();
        return Err(wrong(
            "chain_pem",
            format!("its RSA key has {bits} bits, which can be broken"),
            "Make a new key of 2048 bits or more, or ECDSA with P-256, and ask the CA for a certificate for that",
        ));
    }
    let old = ["1.2.840.113549.1.1.4", "1.2.840.113549.1.1.5", "1.2.840.10045.4.1"];
    if old.contains(&certificate.signature_algorithm.algorithm.to_id_string().as_str()) {
        return Err(wrong(
            "chain_pem",
            "it is signed with MD5 or SHA-1, which no browser accepts",
            "Ask the CA for one that is signed with SHA-256",
        ));
    }
    Ok(())
}

fn check_time(leaf: &Leaf, now: DateTime<Utc>) -> Result<(), Wrong> {
    if leaf.not_after <= now {
        let ended = leaf.not_after.format("%Y-%m-%d");
        return Err(wrong("chain_pem", format!("it ended on {ended}"), "Get a new one from the CA"));
    }
    // Clocks differ a little.
    if leaf.not_before > now + TimeDelta::minutes(5) {
        let from = leaf.not_before.format("%Y-%m-%d %H:%M UTC");
        return Err(wrong("chain_pem", format!("it is valid from {from} on"), "Import it then"));
    }
    Ok(())
}

fn check_names(leaf: &Leaf) -> Result<(), Wrong> {
    let hint = "Get one that names its hosts as DNS names (subject alternative names)";
    if leaf.names.is_empty() {
        return Err(wrong("chain_pem", "it names no host; browsers do not look at its subject", hint));
    }
    if leaf.names.len() > NAMES_LIMIT {
        return Err(wrong("chain_pem", format!("it names more than {NAMES_LIMIT} hosts"), "Split it"));
    }
    match leaf.names.iter().find(|name| !is_name(name)) {
        Some(name) => Err(wrong("chain_pem", format!("`{}` is no host name", name.escape_debug()), hint)),
        None => Ok(()),
    }
}

/// Lower-case labels, the first perhaps `*`.
fn is_name(name: &str) -> bool {
    let plain = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
    };
    name.len() <= 253 && plain.contains('.') && plain.split('.').all(is_label)
}

fn pem(certificate: &CertificateDer<'static>) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is ASCII")).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
