//! Containers of their own for programs: from which release, on which worker, made from what.

use anyhow::Context;
use chrono::Utc;
use protocol::exec::OpenFresh;
use protocol::ids::{NodeId, ReleaseId};
use sqlx::PgConnection;

use super::store::{self, Attached};
use crate::app::App;
use crate::apps::instances::NodeRef;
use crate::http::{Code, Error, Result};
use crate::plan::worker::Wanted;
use crate::reconcile::dispatch_specs;
use crate::variables::predefined::{self, Place};
use crate::{apps, instances, nodes, plan, releases, variables};

/// What a program gets a container of.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) release: ReleaseId,
    pub(super) number: i32,
    pub(super) node: NodeRef,
}

/// The release that serves, on a worker that is connected: best on one that has the image.
pub(super) async fn choose(conn: &mut PgConnection, app: &apps::store::App) -> Result<Choice> {
    let live = releases::store::current(conn, app.id).await?.ok_or_else(|| {
        Error::new(Code::NothingDeployed, format!("{} has no live release to run a program of", app.slug))
            .hint("Deploy it first, or see with `wh releases` why none is live")
    })?;
    let holders = instances::store::image_holders(conn, &[live.image_id]).await?;
    let holders: Vec<NodeId> = holders.into_iter().map(|holder| holder.node).collect();
    let node = store::worker_for(conn, &holders).await?.ok_or_else(|| {
        Error::new(Code::Unavailable, "no worker is connected")
            .hint("`wh node ls` shows them; start the agent on one")
    })?;
    Ok(Choice { release: live.id, number: live.number, node })
}

/// What the worker is told.
pub(super) async fn open(app: &App, session: &Attached, release: ReleaseId) -> anyhow::Result<OpenFresh> {
    let mut conn = app.db.acquire().await?;
    let source = store::source(&mut conn, release).await?.context("the release is gone")?;
    let holders = dispatch_specs::holders(app, &mut conn, [&source.image_id].into_iter()).await?;
    let node = nodes::store::known(&mut conn, session.node).await?.context("the node was removed")?;
    drop(conn);
    let (host, port) = (source.host, source.zone_port);
    let place = Place { app: session.app.clone(), project: source.project_slug, host, port };
    let mut predefined = place.variables(apps::api::scheme(app));
    predefined::add_release(
        &mut predefined,
        source.number,
        source.commit_id.as_deref(),
        source.source.as_ref(),
    );
    predefined::add_node(&mut predefined, &node.name, &node.labels);
    let wanted = Wanted {
        // Nobody looks it up: the worker knows the container by its session.
        id: protocol::ids::InstanceId(session.id.0),
        app_id: session.app_id,
        app: session.app.clone(),
        project: source.project,
        release: source.number,
        image_id: source.image_id,
        image_reference: source.image_reference,
        settings: source.settings.0,
        env: variables::open(&app.vault, session.app_id, &source.variables)?,
        predefined,
        host_port: 0,
        udp: false,
        exclusive: false,
        task: None,
    };
    let mut container = plan::worker::instance(node.id, node.mesh_address, wanted, &holders, Utc::now());
    container.command = Some(session.command.clone());
    container.once = true;
    Ok(OpenFresh { container, terminal: session.terminal })
}
