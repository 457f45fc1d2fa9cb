//! How a deployment begins: number, snapshot of settings and variables, stages, and its job, in one transaction.

use protocol::ids::{DeploymentId, InstanceId, JobId, ReleaseId};
use protocol::job::{Build, BuildLimits, Source, Work};
use serde_json::json;
use sqlx::PgConnection;

use super::{Deployment, Kind, source, store};
use crate::app::App;
use crate::apps::instances::Instance;
use crate::apps::{self, Settings};
use crate::bus::{self, Topic};
use crate::http::caller::Caller;
use crate::http::{Code, Error, Result};
use crate::releases::store::{NewRelease, Snapshot};
use crate::variables::Values;
use crate::vault::Purpose;
use crate::{archives, audit, images, releases, variables};

/// What a deployment begins with.
struct Start<'a> {
    kind: Kind,
    source: Option<&'a Source>,
    settings: &'a Settings,
    /// Sealed.
    variables: &'a [u8],
    build_variables: Option<&'a [String]>,
    release: Option<ReleaseId>,
    /// The only instance that is replaced.
    replaces: Option<InstanceId>,
    message: &'a str,
    /// Every step of the build anew.
    no_cache: bool,
}

/// What a user says about a deployment besides its source.
#[derive(Debug, Clone, Copy, Default)]
pub struct How<'a> {
    pub message: &'a str,
    /// Build every step anew.
    pub no_cache: bool,
}

/// Builds or pulls `from`. The caller holds the app's row and has saved its settings.
pub async fn from_source(
    app: &App,
    conn: &mut PgConnection,
    caller: &Caller,
    of: &apps::store::App,
    from: &Source,
    how: How<'_>,
) -> Result<Deployment> {
    source::check(from)?;
    if let Source::Archive { archive_id } = from
        && !archives::store::is_whole(conn, of.id, *archive_id).await?
    {
        return Err(Error::new(Code::SourceInvalid, "there is no such archive of this app")
            .field("source.archive_id")
            .hint("Upload it again: archives are kept for a day, or until their deployment ends"));
    }
    let open = variables::store::open(conn, &app.vault, of.id).await?;
    open.check_complete()?;
    let sealed = variables::seal(&app.vault, of.id, &open.values);
    let kind = if matches!(from, Source::Image { .. }) { Kind::Image } else { Kind::Build };
    let start = Start {
        kind,
        source: Some(from),
        settings: &of.settings.0,
        variables: &sealed,
        build_variables: (kind == Kind::Build).then_some(&open.build_time),
        release: None,
        replaces: None,
        message: how.message,
        no_cache: how.no_cache || built_with_others(app, conn, of, &open).await?,
    };
    begin(app, conn, caller, of, start).await
}

/// Whether the image that serves was built with other variables: a cached step does not know which it was run with.
async fn built_with_others(
    app: &App,
    conn: &mut PgConnection,
    of: &apps::store::App,
    open: &variables::Open,
) -> Result<bool> {
    let Some(live) = releases::store::current(conn, of.id).await? else { return Ok(false) };
    let (_, built_with) = live.open(&app.vault)?;
    Ok(built_with.is_some_and(|built_with| built_with != open.for_builds()))
}

/// Runs the image that serves with the app's present settings and variables.
pub async fn settings(
    app: &App,
    conn: &mut PgConnection,
    caller: &Caller,
    of: &apps::store::App,
    message: &str,
) -> Result<Deployment> {
    let current = current(conn, of).await?;
    // It would bring back the image that a deployment before it replaces.
    check_idle(conn, of).await?;
    let settings = of.settings.for_image_of(&current.settings);
    let open = variables::store::open(conn, &app.vault, of.id).await?;
    open.check_complete()?;
    let sealed = variables::seal(&app.vault, of.id, &open.values);
    let new = NewRelease {
        app_id: of.id,
        image_id: &current.image_id,
        image_reference: &current.image_reference,
        image_size_bytes: current.image_size_bytes,
        image_node_id: current.image_node_id,
        source: current.source,
        commit_id: current.commit_id.as_deref(),
        settings: &settings,
        variables: &sealed,
        built_with: current.built_with.as_deref(),
    };
    let (release, _) = releases::store::create(conn, new).await?;
    let start = Start {
        kind: Kind::Settings,
        source: None,
        settings: &settings,
        variables: &sealed,
        build_variables: None,
        release: Some(release),
        replaces: None,
        message,
        no_cache: false,
    };
    begin(app, conn, caller, of, start).await
}

/// Runs the live release once more, with as many instances as the app's settings say. `message` says why.
pub async fn again(
    app: &App,
    conn: &mut PgConnection,
    caller: &Caller,
    of: &apps::store::App,
    kind: Kind,
    message: &str,
) -> Result<Deployment> {
    let current = current(conn, of).await?;
    check_idle(conn, of).await?;
    let start = Start {
        kind,
        source: None,
        settings: &Settings {
            replicas: of.settings.replicas,
            placement: of.settings.placement.clone(),
            ..current.settings.0
        },
        variables: &current.variables,
        build_variables: None,
        release: Some(current.id),
        replaces: None,
        no_cache: false,
        message,
    };
    begin(app, conn, caller, of, start).await
}

/// Runs the live release with a new instance in the place of one that serves; all else stays as it is.
pub async fn replace(
    app: &App,
    conn: &mut PgConnection,
    caller: &Caller,
    of: &apps::store::App,
    instance: &Instance,
) -> Result<Deployment> {
    let current = current(conn, of).await?;
    check_idle(conn, of).await?;
    if !instance.in_rotation {
        return Err(Error::new(
            Code::NotRunning,
            "this instance gets no requests any more: it ends by itself",
        )
        .hint("`wh ps` shows which ones do"));
    }
    let start = Start {
        kind: Kind::Restart,
        source: None,
        settings: &Settings { placement: of.settings.placement.clone(), ..current.settings.0 },
        variables: &current.variables,
        build_variables: None,
        release: Some(current.id),
        replaces: Some(instance.id),
        no_cache: false,
        message: &format!("one instance, on {}", instance.node.name),
    };
    begin(app, conn, caller, of, start).await
}

/// The live release, which has to be there.
pub async fn current(conn: &mut PgConnection, of: &apps::store::App) -> Result<Snapshot> {
    releases::store::current(conn, of.id).await?.ok_or_else(|| {
        Error::new(Code::NothingDeployed, "nothing is deployed yet").hint("Deploy a source or an image first")
    })
}

/// The app's deploy lock: refuses while a deployment is queued or under way. The caller holds the app's row.
pub async fn check_idle(conn: &mut PgConnection, of: &apps::store::App) -> Result<()> {
    match store::unfinished(conn, of.id).await? {
        None => Ok(()),
        Some(number) => Err(Error::new(
            Code::DeploymentRunning,
            format!("deployment {number} of this app is still under way"),
        )
        .hint("Wait for it or cancel it, then try again")),
    }
}

/// Runs an older release again, with as many instances as the app has now: the one with `number`, or the one that served
/// before. `message` says why.
pub async fn rollback(
    app: &App,
    conn: &mut PgConnection,
    caller: &Caller,
    of: &apps::store::App,
    number: Option<i32>,
    message: Option<&str>,
) -> Result<Deployment> {
    let nothing = |message: String| Error::new(Code::NothingToRollBack, message);
    let current = releases::store::current(conn, of.id).await?;
    let number = match (number, &current) {
        (Some(number), _) => number,
        (None, Some(current)) => releases::store::before(conn, of.id, current.number)
            .await?
            .ok_or_else(|| nothing(format!("no release before {} has served", current.number)))?,
        (None, None) => return Err(nothing("nothing is deployed yet".to_owned())),
    };
    let release = releases::api::find(conn, of, number).await?;
    let from = current.as_ref().map(|current| current.number);
    if current.is_some_and(|current| current.id == release.id) {
        return Err(nothing(format!("release {number} serves already")).field("release"));
    }
    let keep = app.config.images.keep_releases;
    if !images::kept_of(conn, of.id, keep).await?.contains(&release.image_id) {
        return Err(not_kept(&release, keep));
    }
    let start = Start {
        kind: Kind::Rollback,
        source: None,
        settings: &Settings {
            replicas: of.settings.replicas,
            deploy: of.settings.deploy.clone(),
            placement: of.settings.placement.clone(),
            ..release.settings.0
        },
        variables: &release.variables,
        build_variables: None,
        release: Some(release.id),
        replaces: None,
        message: &message.map_or_else(|| way_back(from, number), str::to_owned),
        no_cache: false,
    };
    begin(app, conn, caller, of, start).await
}

/// What a rollback says of itself when its author says nothing.
pub fn way_back(from: Option<i32>, to: i32) -> String {
    match from {
        Some(from) => format!("back from release {from} to {to}"),
        None => format!("back to release {to}"),
    }
}

fn not_kept(release: &releases::store::Snapshot, keep: u8) -> Error {
    let message = format!("the image of release {} is not kept any more", release.number);
    let again = match release.commit_id.as_deref() {
        Some(commit) => format!("Deploy commit {} again", commit.get(..12).unwrap_or(commit)),
        None => "Deploy its source again".to_owned(),
    };
    Error::new(Code::ReleaseNotKept, message).field("release").hint(format!(
        "{again}. The last {keep} images of an app are kept: `images.keep_releases` of the control plane's configuration"
    ))
}

async fn begin(
    app: &App,
    conn: &mut PgConnection,
    caller: &Caller,
    of: &apps::store::App,
    start: Start<'_>,
) -> Result<Deployment> {
    let new = store::New {
        id: DeploymentId::new(),
        app_id: of.id,
        kind: start.kind,
        source: start.source,
        settings: start.settings,
        variables: start.variables,
        build_variables: start.build_variables,
        release_id: start.release,
        replaces: start.replaces,
        message: start.message,
        created_by: &caller.email,
    };
    let number = store::insert(conn, &new).await?;
    if let Some(from) = start.source {
        let job = JobId::new();
        let mut predefined = variables::store::place(conn, of.id).await?.variables(apps::api::scheme(app));
        predefined.extend(variables::predefined::branch(from, None));
        let work = work(app, of, &new, number, from, start.no_cache, predefined);
        let text = serde_json::to_vec(&work).map_err(anyhow::Error::new)?;
        let payload = app.vault.seal(Purpose::JobPayload, &format!("job:{job}"), &text);
        store::insert_job(conn, job, new.id, &payload).await?;
        bus::say(conn, Topic::Jobs, job).await?;
    }
    let made = store::view(conn, caller.organization_id, new.id, apps::api::scheme(app))
        .await?
        .ok_or_else(|| anyhow::anyhow!("a new deployment cannot be read back"))?;
    let detail = json!({
        "app": of.slug, "number": number, "kind": start.kind, "source": start.source, "message": start.message,
        "release": made.release,
        "from": releases::store::current(conn, of.id).await?.map(|serving| serving.number),
    });
    audit::record(conn, caller, "deployment.create", &format!("deployment:{}", new.id), detail).await?;
    bus::say(conn, Topic::Deployments, new.id).await?;
    Ok(made)
}

fn work(
    app: &App,
    of: &apps::store::App,
    new: &store::New<'_>,
    number: i32,
    from: &Source,
    no_cache: bool,
    predefined: Values,
) -> Work {
    let limits = &app.config.limits;
    Work::Build(Box::new(Build {
        deployment_id: new.id,
        app_id: of.id,
        app: of.slug.clone(),
        source: from.clone(),
        containerfile: Box::new(new.settings.containerfile.clone().unwrap_or_default()),
        limits: BuildLimits {
            memory_mb: limits.build_memory_mb,
            cpu_millis: limits.build_cpu_millis,
            timeout_s: limits.build_timeout_s,
            source_bytes: limits.source_bytes,
        },
        no_cache,
        tag: format!("localhost/wisehosting/{}:{number}", of.slug),
        predefined,
        secrets: Box::default(),
    }))
}
