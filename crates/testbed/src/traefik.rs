//! A Traefik of somebody else's beside the proxy, which polls the control plane for the same routes.

use anyhow::Result;
use serde_json::json;

use crate::host::Host;
use crate::init;
use crate::service::Service;

/// The control plane on the mesh.
pub const PROVIDER: &str = "10.50.0.1:8081";
/// Where it has the table.
pub const PATH: &str = "/v1/traefik/proxy-config";
/// Where this Traefik serves HTTPS: the proxy has the usual port.
pub const HTTPS: u16 = 9443;

/// Writes what Traefik reads at its start and tells how to run it. `interval` is how often it polls, in its own words.
pub fn polling(host: &Host, program: &str, token: &str, interval: &str) -> Result<Service> {
    let config = json!({
        "entryPoints": {
            "web": { "address": ":9080" },
            "websecure": { "address": format!(":{HTTPS}") },
        },
        "global": { "checkNewVersion": false, "sendAnonymousUsage": false },
        "log": { "level": "INFO", "format": "json" },
        "providers": {
            "providersThrottleDuration": "200ms",
            "http": {
                "endpoint": format!("http://{PROVIDER}{PATH}"),
                "pollInterval": interval,
                "headers": { "Authorization": format!("Bearer {token}") },
            },
        },
    });
    // Traefik reads YAML, which JSON is.
    std::fs::write(host.folder.join("etc/traefik.yaml"), serde_json::to_vec_pretty(&config)?)?;
    let inside = format!("{}/etc/traefik.yaml", init::INSIDE);
    Ok(Service::new("traefik", &[program, "--configFile", &inside]))
}
