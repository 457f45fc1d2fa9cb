//! A node took the value of a variable out of a log. Told by name in the audit log, once per build and instance: the
//! app prints what it should not, wherever else its output may go.

use protocol::report::{Scrubbed, ScrubbedFrom};
use serde_json::json;
use sqlx::PgConnection;

use super::store;
use crate::audit;
use crate::nodes::store::Known;

/// Said again after a reconnect, it changes nothing.
pub async fn take(conn: &mut PgConnection, node: &Known, scrubbed: &Scrubbed) -> sqlx::Result<()> {
    let Scrubbed { app_id, variable, from } = scrubbed;
    // A node speaks for what it builds and runs only.
    let of = match from {
        ScrubbedFrom::Build(job) => store::app_of_build(conn, *app_id, *job, node.id).await?,
        ScrubbedFrom::Instance(instance) => store::app_of_instance(conn, *app_id, *instance, node.id).await?,
    };
    let Some(of) = of.filter(|_| crate::variables::is_name(variable)) else { return Ok(()) };
    let detail = json!({ "variable": variable, "from": from });
    let target = format!("app:{}", of.slug);
    if store::is_told(conn, &target, &detail).await? {
        return Ok(());
    }
    let actor = format!("node:{}", node.name);
    audit::record_of(conn, of.organization_id, &actor, "secret.scrubbed", &target, detail).await
}
