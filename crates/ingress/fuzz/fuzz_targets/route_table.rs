//! A table of any JSON that is a spec, and lookups in it by the spec's own names and by others.
#![no_main]

use ingress::table::{RouteTable, host_key};
use libfuzzer_sys::fuzz_target;
use protocol::spec::ProxySpec;

fuzz_target!(|json: &[u8]| {
    let Ok(spec) = serde_json::from_slice::<ProxySpec>(json) else { return };
    let (table, problems) = RouteTable::build(&spec);
    let servable = table.servable(&spec);
    assert!(servable.routes.len() <= spec.routes.len());
    for route in &servable.routes {
        for host in &route.hosts {
            // What is said to be served is found.
            assert!(table.find(host, &route.path).is_some(), "{host} {}", route.path);
        }
    }
    for route in &spec.routes {
        for host in &route.hosts {
            if let Some(key) = host_key(host) {
                let _ = table.find(&key, &route.path);
                let _ = table.challenge(&key, &route.path);
            }
        }
    }
    // A table that follows itself has the same problems.
    assert_eq!(table.succeed(&spec).1, problems);
});
