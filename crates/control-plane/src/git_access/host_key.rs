//! The key with which a host of repositories proved itself the first time. From then on it must be that one.

use protocol::report::GitHostKey;
use serde_json::json;
use sqlx::PgConnection;

use super::{openssh, store};
use crate::audit;
use crate::nodes::store::Known;

/// Said again after a reconnect, it changes nothing.
pub async fn take(conn: &mut PgConnection, node: &Known, told: &GitHostKey) -> sqlx::Result<()> {
    let Some(key) = openssh::host_key(&told.key) else { return Ok(()) };
    let Some(of) = store::learn(conn, node.id, told.job_id, &told.host, &key).await? else { return Ok(()) };
    let (actor, target) = (format!("node:{}", node.name), format!("app:{}", of.slug));
    let detail = json!({ "host": told.host, "fingerprint": openssh::fingerprint(&key) });
    audit::record_of(conn, of.organization_id, &actor, "git.trust-host", &target, detail).await
}
