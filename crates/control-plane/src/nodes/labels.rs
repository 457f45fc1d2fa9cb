//! `PATCH /api/v1/nodes/{node}`: labels and zone.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use protocol::labels::{self, Labels};
use serde::{Deserialize, Serialize};

use super::{Node, Origin, api, store};
use crate::app::AppState;
use crate::audit;
use crate::bus::{self, Topic};
use crate::http::caller::Caller;
use crate::http::extract::present;
use crate::http::{Body, Error, Result};

/// What is to be another.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NodePatch)]
pub struct Patch {
    /// Labels to be set; null takes one away. Others stay.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Option<String>>,
    /// DNS suffix that the host serves; null takes it away.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub zone: Option<Option<String>>,
}

/// Sets labels and zone. Those that the configuration declares are changed there.
#[utoipa::path(patch, path = "/nodes/{node}", tag = "nodes", params(("node" = String, Path)),
    request_body = Patch, responses((status = 200, body = Node)))]
pub(super) async fn update_node(
    State(app): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    Body(patch): Body<Patch>,
) -> Result<Json<Node>> {
    let mut tx = app.db.begin().await?;
    let node = api::find(&mut tx, &name).await?;
    let mut own = store::labels::lock(&mut tx, node.id).await?;
    apply(&node, &mut own, &patch)?;
    let zone = patch.zone.clone().unwrap_or_else(|| node.zone.clone());
    store::labels::set(&mut tx, node.id, &own, zone.as_deref()).await?;
    bus::say(&mut tx, Topic::Nodes, node.id).await?;
    let detail = serde_json::to_value(&patch).unwrap_or_default();
    audit::record(&mut tx, &caller, "node.update", &format!("node:{}", node.name), detail).await?;
    let node = api::find(&mut tx, &node.id.to_string()).await?;
    tx.commit().await?;
    Ok(Json(node))
}

fn apply(node: &Node, own: &mut Labels, patch: &Patch) -> Result<()> {
    let declared = |field: String, what: &str| {
        Error::invalid(field, format!("{what} of {} is set by the configuration", node.name)).hint(
            "Change it where the node is declared: `nodes` of the control plane's configuration, or hosts/fleet.nix",
        )
    };
    for (key, value) in &patch.labels {
        if node.declared_labels.contains(key) {
            return Err(declared(format!("labels.{key}"), &format!("the label {key}")));
        }
        match value {
            Some(value) => own.insert(key.clone(), value.clone()),
            None => own.remove(key),
        };
    }
    labels::check(own).map_err(|problem| Error::invalid("labels", problem))?;
    match &patch.zone {
        Some(_) if node.origin == Origin::Declared => Err(declared("zone".to_owned(), "the zone")),
        Some(Some(zone)) => labels::check_zone(zone).map_err(|problem| Error::invalid("zone", problem)),
        _ => Ok(()),
    }
}
