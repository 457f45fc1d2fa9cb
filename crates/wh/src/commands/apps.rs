//! Apps and their instances.

use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{Shell, short, tombstones, usage};
use crate::api::types::{App, Instance, InstanceCount};
use crate::api::{path, path_with};
use crate::args::AppsCommand;
use crate::failure::{Exit, Failure, Result};
use crate::ui::card::{self, probed};
use crate::ui::sanitize;
use crate::ui::table::{Cell, Table, facts};
use crate::ui::time::{age_of, size};

pub(crate) async fn run(shell: &Shell, command: Option<AppsCommand>) -> Result<()> {
    match command.unwrap_or(AppsCommand::Ls { project: None, deleted: false }) {
        AppsCommand::Ls { deleted: true, .. } => tombstones::ls(shell).await,
        AppsCommand::Ls { project, .. } => ls(shell, project.as_deref()).await,
        AppsCommand::Create { name, project, zone, port, replicas } => {
            let options = [
                ("project", project.map(Value::from)),
                ("zone", zone.map(Value::from)),
                ("port", port.map(Value::from)),
                ("replicas", replicas.map(Value::from)),
            ];
            create(shell, &name, options).await
        }
        AppsCommand::Info { name } => info(shell, name).await,
        AppsCommand::Rm { name, confirm } => tombstones::rm(shell, &name, confirm).await,
        AppsCommand::Undelete { name, detach } => tombstones::undelete(shell, &name, detach).await,
    }
}

async fn ls(shell: &Shell, project: Option<&str>) -> Result<()> {
    let query: Vec<_> = project.map(|project| ("project", project)).into_iter().collect();
    let apps: Vec<App> = shell.client()?.list(&path_with(&["apps"], &query)).await?;
    if shell.ui.json {
        return crate::ui::json(&apps);
    }
    if apps.is_empty() {
        shell.ui.note(
            "no apps yet: `wh init` and `wh deploy` in a folder, or `wh deploy --app NAME --image REFERENCE`",
        );
        return Ok(());
    }
    let mut table = Table::new(&["APP", "PROJECT", "STATUS", "HEALTHY", "RELEASE", "DEPLOYED", "URL"]);
    for app in &apps {
        let release = app.release.as_ref();
        table.row(vec![
            Cell::name(&app.slug),
            Cell::plain(&app.project.slug),
            Cell::status(&app.status),
            Cell::plain(format!("{}/{}", app.instances.healthy, app.instances.wanted)),
            Cell::plain(release.map(|release| release.number.to_string()).unwrap_or_default()),
            Cell::plain(age_of(release.and_then(|release| release.created_at))),
            Cell::plain(&app.url),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

/// `options` by their names in the request; what is absent takes the default.
async fn create(
    shell: &Shell,
    name: &str,
    options: impl IntoIterator<Item = (&'static str, Option<Value>)>,
) -> Result<()> {
    let mut body = Map::from_iter([("slug".to_owned(), json!(name))]);
    let given = |(name, value): (&str, Option<Value>)| Some((name.to_owned(), value?));
    body.extend(options.into_iter().filter_map(given));
    let app: App = shell.client()?.send(Method::POST, "/apps", &Value::Object(body)).await?;
    if shell.ui.json {
        return crate::ui::json(&app);
    }
    shell.ui.done(&format!("created app {} in project {}", app.slug, app.project.slug));
    shell.ui.note(&format!("  {} `wh deploy --app {}`", shell.ui.err_paint().dim("next"), app.slug));
    crate::ui::data(&app.url)
}

async fn info(shell: &Shell, name: Option<String>) -> Result<()> {
    let name = name.map_or_else(|| shell.app(), Ok)?;
    let app: App = shell.client()?.get(&path(&["apps", &name])).await?;
    if shell.ui.json {
        return crate::ui::json(&app);
    }
    let paint = shell.ui.out_paint();
    let state = paint.status(&app.certificate.state);
    let certificate = match &app.certificate.error {
        Some(error) => format!("{state} {}", sanitize(error)),
        None => format!("{state}{}", app.certificate.until()),
    };
    let release = app.release.as_ref();
    let release =
        release.map(|release| format!("{} {}", release.number, paint.dim(&age_of(release.created_at))));
    let deployment = app.deployment.as_ref();
    let deployment = deployment.map(|last| {
        format!("{} {} {}", last.number, paint.status(&last.state), paint.dim(&age_of(last.created_at)))
    });
    let waits = app.waits_for.as_ref().map(|waits| format!("{}, which is gone: {}", waits.node, waits.why));
    let rows = [
        ("app", paint.bold(&app.slug)),
        ("project", app.project.slug.clone()),
        ("status", paint.status(&app.status)),
        ("waits for", sanitize(&waits.unwrap_or_default())),
        ("url", sanitize(&app.url)),
        ("instances", counted(&app.instances)),
        ("release", release.unwrap_or_default()),
        ("deployment", deployment.unwrap_or_default()),
        ("certificate", certificate),
        ("port", app.settings["port"].as_u64().map(|port| port.to_string()).unwrap_or_default()),
        ("probe", probe(&app.settings["probe"]["check"])),
        ("resources", resources(&app.settings["resources"])),
        ("isolation", isolation(&app.settings["isolation"])),
        ("created", age_of(app.created_at)),
    ];
    crate::ui::data(&facts(&rows, paint))?;
    if let Some(failed) = &app.failure {
        crate::ui::data(&card::ended(failed, paint))?;
    }
    Ok(())
}

fn counted(count: &InstanceCount) -> String {
    let InstanceCount { wanted, healthy, unknown, .. } = count;
    match count.unknown_since {
        None => format!("{healthy} of {wanted} healthy"),
        since => format!("{healthy} of {wanted} healthy, {unknown} unknown since {}", age_of(since)),
    }
}

fn probe(check: &Value) -> String {
    match (check["type"].as_str(), check["path"].as_str()) {
        (Some("http"), Some(path)) => sanitize(&format!("GET {path}")),
        (Some(kind), _) => sanitize(kind),
        (None, _) => String::new(),
    }
}

fn resources(resources: &Value) -> String {
    match (resources["memory_mb"].as_u64(), resources["cpu_millis"].as_u64()) {
        (Some(memory), Some(cpu)) => {
            format!("{memory} MiB memory, {}.{:02} cores", cpu / 1000, cpu % 1000 / 10)
        }
        _ => String::new(),
    }
}

/// What the app says beyond what every app has.
fn isolation(isolation: &Value) -> String {
    let mut said = Vec::new();
    if isolation["read_only"] == true {
        said.push("read-only root".to_owned());
    }
    let folders = isolation["tmpfs"].as_array().into_iter().flatten().filter_map(Value::as_str);
    said.extend(folders.map(|folder| format!("{folder} MiB in memory")));
    let limits = [("disk_mb", "MiB disk"), ("egress_mbit", "Mbit/s out"), ("ingress_mbit", "Mbit/s in")];
    let limits =
        limits.iter().filter_map(|(name, what)| Some(format!("{} {what}", isolation[*name].as_u64()?)));
    said.extend(limits);
    sanitize(&said.join(", "))
}

/// Instances with their evidence; a partial answer when some node has not been heard of.
pub(crate) async fn ps(shell: &Shell) -> Result<()> {
    let instances: Vec<Instance> = shell.client()?.list(&shell.app_path(&["instances"])?).await?;
    if shell.ui.json {
        crate::ui::json(&instances)?;
    } else if instances.is_empty() {
        shell.ui.note("no instances: `wh deploy` starts some");
    } else {
        crate::ui::data(&table(&instances).render(shell.ui.out_paint()))?;
        instances.iter().filter_map(trouble).for_each(|line| shell.ui.note(&line));
        for line in usage::unenforced(&instances) {
            shell.ui.note(&line);
        }
    }
    let unknown = |instance: &&Instance| instance.wanted && instance.unknown_since.is_some();
    let mut nodes: Vec<&str> =
        instances.iter().filter(unknown).map(|instance| instance.node.name.as_str()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    if nodes.is_empty() {
        return Ok(());
    }
    let message =
        format!("nobody knows how the instances on {} are: nothing is heard from there", nodes.join(", "));
    Err(Failure::new(Exit::Partial, "observation_old", message)
        .hint("`wh node ls` shows which nodes are offline"))
}

fn table(instances: &[Instance]) -> Table {
    let mut table = Table::new(&[
        "INSTANCE", "NODE", "RELEASE", "STATE", "TRAFFIC", "RESTARTS", "CPU", "MEMORY", "UP SINCE", "SEEN",
    ]);
    for instance in instances {
        let stats = instance.stats.as_ref();
        table.row(vec![
            Cell::name(short(&instance.id)),
            Cell::plain(&instance.node.name),
            Cell::plain(instance.release.to_string()),
            Cell::status(if instance.unknown_since.is_some() { "unknown" } else { &instance.state }),
            if instance.in_rotation { Cell::plain("yes") } else { Cell::dim("no") },
            Cell::plain(instance.restarts.to_string()),
            Cell::plain(
                stats
                    .map(|stats| format!("{}.{} %", stats.cpu_millis / 10, stats.cpu_millis % 10))
                    .unwrap_or_default(),
            ),
            Cell::plain(stats.map(|stats| size(stats.memory_bytes)).unwrap_or_default()),
            Cell::plain(age_of(instance.started_at)),
            Cell::dim(age_of(instance.observed_at)),
        ]);
    }
    table
}

/// Why an instance does not serve, or that nobody knows how it is.
fn trouble(instance: &Instance) -> Option<String> {
    let what = if instance.unknown_since.is_some() {
        format!("unknown since {}; then it was {}", age_of(instance.unknown_since), instance.state)
    } else {
        why(instance)?
    };
    Some(format!("  {}  {}", short(&instance.id), sanitize(&what)))
}

fn why(instance: &Instance) -> Option<String> {
    Some(match (&instance.failure, &instance.probe, instance.exit_code) {
        (Some(failure), ..) => failure.message.clone(),
        (None, Some(probe), _) if instance.state == "unhealthy" => probed(probe),
        (None, _, Some(code)) if instance.state == "exited" => format!("ended with exit code {code}"),
        _ => return None,
    })
}

/// Opens the app's address, or prints it.
pub(crate) async fn open(shell: &Shell, print: bool) -> Result<()> {
    let app = shell.get_app(&shell.client()?).await?;
    if shell.ui.json {
        return crate::ui::json(&json!({ "url": app.url }));
    }
    if print {
        return crate::ui::data(&app.url);
    }
    let url = crate::context::parse_url(&app.url).map_err(|problem| {
        Failure::new(Exit::Error, "url_invalid", format!("the app's address {problem}"))
    })?;
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let quiet = Stdio::null;
    let mut opener = Command::new(opener);
    if opener.arg(url.as_str()).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn().is_ok() {
        shell.ui.done(&format!("opened {url}"));
        return Ok(());
    }
    shell.ui.warn("no browser found to open it with");
    crate::ui::data(url.as_str())
}
