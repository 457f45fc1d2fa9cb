use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

use super::*;

/// Self-signed, RSA with 1024 bits.
const WEAK: (&str, &str) = (
    "-----BEGIN CERTIFICATE-----\n\
MIICHDCCAYWgAwIBAgIUO58vjmUm1c7nnTHImDDQMKBGQHQwDQYJKoZIhvcNAQEL\n\
BQAwFDESMBAGA1UEAwwJd2Vhay50ZXN0MCAXDTI2MTEyMTIyMjI1NFoYDzIxMjYx\n\
MDI4MjIyMjU0WjAUMRIwEAYDVQQDDAl3ZWFrLnRlc3QwgZ8wDQYJKoZIhvcNAQEB\n\
BQADgY0AMIGJAoGBALfPpUnjqmsC26gMR2Gl5xRp1ApYU7v+3MD1rtTpr1ziROqV\n\
HjmEocwiuVUaGgqTiMvHMA1evi7pv236/253/cvIEP4NJ/9kT5qlnanuFvhvy38m\n\
gEnvIAZSN/zijB+fPmMtiDdVgkiU4EB1jX298b7/BscLJwr42c4SReSEzMJTAgMB\n\
AAGjaTBnMB0GA1UdDgQWBBRZH92i1tgNjxsUYmz0RT8cbZkS6DAfBgNVHSMEGDAW\n\
gBRZH92i1tgNjxsUYmz0RT8cbZkS6DAPBgNVHRMBAf8EBTADAQH/MBQGA1UdEQQN\n\
MAuCCXdlYWsudGVzdDANBgkqhkiG9w0BAQsFAAOBgQBG4RhYkyN5soJwo8ic8Hkk\n\
ODV7eQUu17PM9IjlNOwS/gn/68st41lZil0qnHQ2AUTgh+TmGtQAproxJjjti3C0\n\
MXVGzJ2xDN/IC+FGDiu6Lwja3A06i0Z6tyhcYVR8sk/Gu4QhIWoTO2Txq+m513FP\n\
/K9LP+0vE2F//TX+MOE2qg==\n\
-----END CERTIFICATE-----\n",
    "-----BEGIN PRIVATE KEY-----\n\
MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBALfPpUnjqmsC26gM\n\
R2Gl5xRp1ApYU7v+3MD1rtTpr1ziROqVHjmEocwiuVUaGgqTiMvHMA1evi7pv236\n\
/253/cvIEP4NJ/9kT5qlnanuFvhvy38mgEnvIAZSN/zijB+fPmMtiDdVgkiU4EB1\n\
jX298b7/BscLJwr42c4SReSEzMJTAgMBAAECgYEAlTITHL2RlxiTyHxm+CicPyKD\n\
PP5iwQZmkq0YgrNHZuI2RB5TkSZJ2hMZUa1FE+6aq6T7KO8M+bE7c363FCiLNBoC\n\
+J9o1mhs7rNZi1OSQ+CUS9F9RcvGJr3OVYKaSMlKr2O/2nJ5u60lbHI+IOS5iNQ7\n\
tbXnW9ZYxcxVPZ96XIkCQQDxT1O0glmdIpBtX0ezN7xaQzApETvU2dyPIPtmbZ6v\n\
oWDXn8e1DWnOTVM/8NvSkWKRmBVqXbX3M7ddpciY0PHXAkEAwwA7+FyL/dHt7P6Z\n\
wrm9DfihRlte47mPJZdlgMJmhvHCKy0/sCT0Ek18BEHPiGkUHvyA6IpMpgkSNc+/\n\
f9tb5QJAYjBgJAQiSMEmuYpal38nYicSsrMzgFHB4G+QPEaAmoB08mguj+pMUki+\n\
hjcQi2bjD9EtbaGCCHt/slhh/mSO8wJAIFZFm6YdQPYzMn32GaibhVmZxQUZ80Gu\n\
T1mP545VWkN1I5vZV+iI4RAgZMRVGhXy1ECjT+y/UTln36yX4SgLUQJAfqn3I4Tm\n\
jPqmDDeaMpwnNHONOJrev+VMfBe9jTLFD8yFQgBReXmkCOKRxpa1cQKXcA0RuAyH\n\
waR/DSpLdSVRzQ==\n\
-----END PRIVATE KEY-----\n",
);
/// Self-signed with SHA-1.
const SHA1: (&str, &str) = (
    "-----BEGIN CERTIFICATE-----\n\
MIIBkTCCATegAwIBAgIUXeE92uvuWMMzLLAn4wc596cRJe8wCQYHKoZIzj0EATAT\n\
MREwDwYDVQQDDAhvbGQudGVzdDAgFw0yNjExMjEyMjIyNTRaGA8yMTI2MTAyODIy\n\
MjI1NFowEzERMA8GA1UEAwwIb2xkLnRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMB\n\
BwNCAATDcu3llxFYv3B6mqpA/NrcYL+drHR4zmQ+l84m1qrZZcJVqcLZG0V2qdzA\n\
0OPik6Enra/Gd8geQ11VOwv5hvnVo2gwZjAdBgNVHQ4EFgQUGwxPog7pR3f35cYF\n\
wvTcBMp+TjUwHwYDVR0jBBgwFoAUGwxPog7pR3f35cYFwvTcBMp+TjUwDwYDVR0T\n\
AQH/BAUwAwEB/zATBgNVHREEDDAKgghvbGQudGVzdDAJBgcqhkjOPQQBA0kAMEYC\n\
IQCnBHieLuj05ge6C7/kS6ujVwjGeg+S+XkyVdkYFgGzywIhAMo6a2gYVZcSt/VV\n\
zA8Vn0kW1DbqX+O1f+fT4FI4fmhM\n\
-----END CERTIFICATE-----\n",
    "-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg7Tg6yAGAjuEUul3G\n\
VSx5oc9Pu+AsVuzCyfHlw6yUYVWhRANCAATDcu3llxFYv3B6mqpA/NrcYL+drHR4\n\
zmQ+l84m1qrZZcJVqcLZG0V2qdzA0OPik6Enra/Gd8geQ11VOwv5hvnV\n\
-----END PRIVATE KEY-----\n",
);

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params
}

/// A root, an intermediate that it signed, and a certificate that this signed.
struct Chain {
    root: String,
    intermediate: String,
    leaf: String,
    key: String,
}

fn leaf_params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.push(DnType::CommonName, "the leaf");
    params.use_authority_key_identifier_extension = true;
    params
}

fn chain(params: CertificateParams) -> Chain {
    daemon::crypto::install();
    let root =
        CertifiedIssuer::self_signed(ca_params("Root"), KeyPair::generate().expect("key")).expect("root");
    let intermediate =
        CertifiedIssuer::signed_by(ca_params("Intermediate"), KeyPair::generate().expect("key"), &root)
            .expect("intermediate");
    let key = KeyPair::generate().expect("key");
    let leaf = params.signed_by(&key, &intermediate).expect("leaf");
    Chain { root: root.pem(), intermediate: intermediate.pem(), leaf: leaf.pem(), key: key.serialize_pem() }
}

fn now() -> DateTime<Utc> {
    Utc::now()
}

fn blocks(pem: &str) -> Vec<String> {
    pem.split_inclusive("-----END CERTIFICATE-----\n").map(ToOwned::to_owned).collect()
}

fn refused(chain: &str, key: &str) -> Wrong {
    read(chain, key, now()).expect_err("refused")
}

/// Line ends and the like are not what matters.
fn same(one: &str, other: &str) -> bool {
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    bare(one) == bare(other)
}

#[test]
fn a_chain_in_any_order_is_sorted_and_loses_its_root() {
    let Chain { root, intermediate, leaf, key } = chain(leaf_params(&["shop.test", "*.shop.test"]));
    for text in [
        format!("{leaf}{intermediate}"),
        format!("{root}{intermediate}{leaf}"),
        format!("{intermediate}{leaf}{root}"),
        format!("a bag of things\n{intermediate}\n\n{key}{leaf}"),
    ] {
        let read = read(&text, &key, now()).expect("good");
        let blocks = blocks(&read.chain_pem);
        assert_eq!(blocks.len(), 2, "{text}");
        assert!(same(&blocks[0], &leaf) && same(&blocks[1], &intermediate), "{text}");
        assert_eq!(read.leaf.names, ["shop.test", "*.shop.test"]);
        assert_eq!((read.notes, read.self_signed), (Vec::new(), false));
        assert!(same(&read.key_pem, &key), "{}", read.key_pem);
        assert_eq!(read.fingerprint.split(':').count(), 32);
    }
    let alone = read(&leaf, &key, now()).expect("good");
    assert_eq!(blocks(&alone.chain_pem).len(), 1);
}

#[test]
fn certificates_of_other_chains_are_left_out_and_told() {
    let (own, other) = (chain(leaf_params(&["shop.test"])), chain(leaf_params(&["other.test"])));
    let text = format!("{}{}{}", other.leaf, own.leaf, other.intermediate);
    let read = read(&text, &own.key, now()).expect("good");
    assert_eq!(blocks(&read.chain_pem).len(), 1, "the issuer has the right name and another key");
    assert_eq!(read.notes, ["2 of the certificates in the file are not of its chain and were left out."]);
}

#[test]
fn the_key_has_to_be_that_of_the_certificate() {
    let (own, other) = (chain(leaf_params(&["shop.test"])), chain(leaf_params(&["shop.test"])));
    assert_eq!(refused(&own.leaf, &other.key).message, "the key belongs to none of the certificates");
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let wrong = refused(&own.leaf, locked);
    assert_eq!((wrong.field, wrong.message.as_str()), ("key_pem", "the key is protected by a passphrase"));
    assert!(wrong.hint.contains("openssl pkey"), "{wrong:?}");
    assert_eq!(refused(&own.leaf, "none").message, "there is no private key in it");
    let both = format!("{}{}", own.leaf, own.key);
    assert!(same(&read(&both, &both, now()).expect("good").key_pem, &own.key));
}

#[test]
fn weak_keys_and_signatures_are_refused() {
    daemon::crypto::install();
    let wrong = refused(WEAK.0, WEAK.1);
    assert!(wrong.message.contains("1024 bits") && wrong.hint.contains("2048"), "{wrong:?}");
    let wrong = refused(SHA1.0, SHA1.1);
    assert!(wrong.message.contains("SHA-1"), "{wrong:?}");
}

#[test]
fn what_has_ended_or_has_not_begun_is_refused_with_its_date() {
    let mut params = leaf_params(&["shop.test"]);
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(2020, 1, 1);
    let ended = chain(params);
    assert_eq!(refused(&ended.leaf, &ended.key).message, "it ended on 2020-01-01");
    let mut params = leaf_params(&["shop.test"]);
    params.not_before = date_time_ymd(2999, 1, 1);
    let early = chain(params);
    assert_eq!(refused(&early.leaf, &early.key).message, "it is valid from 2999-01-01 00:00 UTC on");
}

#[test]
fn names_have_to_be_there_and_to_be_host_names() {
    let nameless = chain(leaf_params(&[]));
    assert!(refused(&nameless.leaf, &nameless.key).message.contains("names no host"));
    for bad in ["localhost", "*.*.test", "a_b.*.test"] {
        let odd = chain(leaf_params(&[bad]));
        assert!(refused(&odd.leaf, &odd.key).message.contains("is no host name"), "{bad}");
    }
    let good = chain(leaf_params(&["SHOP.test"]));
    assert_eq!(read(&good.leaf, &good.key, now()).expect("good").leaf.names, ["shop.test"]);
}

#[test]
fn what_is_no_pem_says_how_to_make_it() {
    for text in ["", "MIIB", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"] {
        let wrong = refused(text, "none");
        assert_eq!(wrong.field, "chain_pem");
        assert!(wrong.hint.contains("openssl x509 -inform der"), "{wrong:?}");
    }
    let many = chain(leaf_params(&["shop.test"])).leaf.repeat(11);
    assert!(refused(&many, "none").message.contains("11 certificates"));
}

#[test]
fn any_text_is_read_without_a_panic() {
    daemon::crypto::install();
    let Chain { leaf, key, .. } = chain(leaf_params(&["shop.test"]));
    for end in (0..leaf.len()).step_by(7) {
        let _ = read(&leaf[..end], &key, now());
        let _ = read(&leaf, &key[..end.min(key.len())], now());
    }
}
