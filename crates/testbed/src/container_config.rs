//! Podman's configuration for a host that shares the machine's kernel with others and has no registry.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::topology::REGISTRY;

const CONTAINERS: &str = r#"[containers]
# The kernel's limits of an unprivileged machine; Podman's own defaults need CAP_SYS_RESOURCE.
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
"#;

const REGISTRIES: &str =
    "unqualified-search-registries = [\"docker.io\"]\nshort-name-mode = \"permissive\"\n";

const POLICY: &str = r#"{ "default": [{ "type": "insecureAcceptAnything" }] }"#;

/// Writes what belongs into `/etc/containers`: images live in `store`, and are also looked up in the read-only
/// stores `also`.
pub(crate) fn write(folder: &Path, store: &Path, also: &[&str]) -> Result<()> {
    let storage = format!(
        "[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\nrunroot = \"/run/containers/storage\"\n\
         [storage.options]\nadditionalimagestores = {also:?}\n",
        store.display(),
    );
    let registries = format!("{REGISTRIES}[[registry]]\nlocation = \"{REGISTRY}\"\ninsecure = true\n");
    for (name, text) in [
        ("containers.conf", CONTAINERS),
        ("registries.conf", &registries),
        ("policy.json", POLICY),
        ("storage.conf", &storage),
    ] {
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}
