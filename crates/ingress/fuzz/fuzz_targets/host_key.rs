//! Names from `Host`, `:authority` and the TLS handshake.
#![no_main]

use ingress::table::host_key;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|authority: &str| {
    let Some(key) = host_key(authority) else { return };
    assert!(!key.is_empty() && !key.bytes().any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_control()));
    assert!(!key.contains(['/', '@', '#', '?', ' ', ',', '%', '\\']));
    // A key is a name, and a name's key is itself.
    if !key.ends_with('.') {
        assert_eq!(host_key(&key).as_deref(), Some(&*key));
    }
});
