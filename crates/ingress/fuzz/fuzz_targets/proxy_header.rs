//! Headers of the PROXY protocol.
#![no_main]

use ingress::proxy_protocol::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok((sender, length)) = parse(bytes) else { return };
    assert!(length <= bytes.len());
    // What follows the header does not change it, and nothing shorter is one.
    assert_eq!(parse(&bytes[..length]), Ok((sender, length)));
    assert!(parse(&bytes[..length - 1]).is_err());
});
