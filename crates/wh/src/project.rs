//! The project file, `wisehosting.toml`: what an app needs, kept beside its source.

mod placement;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use presets::Preset;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use self::placement::Placement;
use crate::context::nearest;
use crate::failure::{Exit, Failure, Result};
use crate::route::Options;
use crate::way::{self, Wanted, Way};

pub(crate) const FILE: &str = "wisehosting.toml";

/// The file's content. Everything is optional: what is absent is the server's to decide.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Project {
    pub(crate) app: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) build: Build,
    pub(crate) run: Run,
    pub(crate) deploy: Option<Deploy>,
    pub(crate) probe: Option<Probe>,
    pub(crate) resources: Resources,
    isolation: Option<Isolation>,
    pub(crate) crash_guard: CrashGuard,
    placement: Option<Placement>,
    pub(crate) env: Env,
    routes: Options,
    domains: BTreeMap<String, Wanted<way::Domain>>,
    /// What `routes` and `domains` say, read.
    #[serde(skip)]
    pub(crate) way: Way,
}

/// How the image is built.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Build {
    pub(crate) folder: Option<String>,
    pub(crate) preset: Option<Preset>,
    pub(crate) publish: Option<String>,
    pub(crate) spa: Option<bool>,
    pub(crate) containerfile: Option<String>,
    pub(crate) context: Option<String>,
    pub(crate) target: Option<String>,
    pub(crate) args: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) platform: Option<String>,
    pub(crate) pull: Option<bool>,
}

impl Build {
    /// What it says to presets that serve files.
    pub(crate) fn site(&self) -> presets::Site {
        presets::Site { publish: self.publish.clone(), spa: self.spa }
    }
}

/// How it runs.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Run {
    pub(crate) port: Option<u16>,
    pub(crate) replicas: Option<u32>,
    pub(crate) exclusive: Option<bool>,
    pub(crate) command: Option<Vec<String>>,
}

/// How a release takes the place of the one before.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Deploy {
    strategy: Option<Strategy>,
    pre_command: Option<Vec<String>>,
    post_command: Option<Vec<String>>,
    drain_s: Option<u32>,
    stop_grace_s: Option<u32>,
}

#[derive(Debug, Clone, Copy, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
enum Strategy {
    BlueGreen,
    Rolling,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Check {
    #[default]
    Http,
    Tcp,
    Command,
    Off,
}

/// When an instance counts as healthy.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Probe {
    r#type: Check,
    path: Option<String>,
    status: Option<u16>,
    command: Option<Vec<String>>,
    interval_s: Option<u32>,
    timeout_s: Option<u32>,
    start_within_s: Option<u32>,
    failures: Option<u32>,
}

/// What one instance may use.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Resources {
    memory_mb: Option<u32>,
    cpu_millis: Option<u32>,
    pids: Option<u32>,
}

/// What keeps one instance apart from its host and its neighbours. The control plane checks it.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Isolation {
    #[serde(skip_serializing_if = "Option::is_none")]
    read_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tmpfs: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_mb: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    egress_mbit: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ingress_mbit: Option<u32>,
}

/// When an instance that ends by itself is not started again any more.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CrashGuard {
    restarts: Option<u32>,
    calm_s: Option<u32>,
}

/// Names only: values are set with `wh env set`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Env {
    pub(crate) required: Vec<String>,
}

/// A project file and the folder that it describes.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) project: Project,
    pub(crate) folder: PathBuf,
}

/// Looks in `start` and the folders above it, as far as the repository or the home folder goes.
pub(crate) fn find(start: &Path) -> Result<Option<Found>> {
    for folder in start.ancestors() {
        let path = folder.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let project = parse(&text, &path.display().to_string())?;
                return Ok(Some(Found { project, folder: folder.to_owned() }));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::io(&format!("cannot read {}", path.display()), &error)),
        }
        let home = std::env::var_os("HOME").is_some_and(|home| Path::new(&home) == folder);
        if home || folder.join(".git").exists() {
            break;
        }
    }
    Ok(None)
}

/// Reads a project file; the error names line, key and what was probably meant.
pub(crate) fn parse(text: &str, name: &str) -> Result<Project> {
    let mut project: Project = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        match unknown_key(error.message()) {
            Some((key, known)) => {
                let failure = invalid(&format!("{name} line {line}: unknown key `{key}`"));
                match nearest(&key, known.iter().map(String::as_str)) {
                    Some(near) => failure.hint(format!("did you mean `{near}`?")),
                    None => failure.hint(format!("known here: {}", known.join(", "))),
                }
            }
            None => invalid(&format!("{name} line {line}: {}", error.message().replace('\n', " "))),
        }
    })?;
    let wrong = |problem| invalid(&format!("{name}: {problem}"));
    project.check().map_err(wrong)?;
    project.way = Way::read(&project.routes, &project.domains).map_err(wrong)?;
    Ok(project)
}

fn invalid(message: &str) -> Box<Failure> {
    Failure::new(Exit::Usage, "project_file_invalid", message)
}

/// The unknown key and the known ones, from serde's message: each stands in backticks.
fn unknown_key(message: &str) -> Option<(String, Vec<String>)> {
    let rest = message.strip_prefix("unknown field ")?;
    let mut words = rest.split('`').skip(1).step_by(2).map(str::to_owned);
    Some((words.next()?, words.collect()))
}

impl Project {
    fn check(&self) -> Result<(), String> {
        if self.run.port == Some(0) {
            return Err("run.port must be between 1 and 65535".to_owned());
        }
        if self.build.preset.is_some() && self.build.containerfile.is_some() {
            return Err(
                "build.preset writes the Containerfile: leave out build.containerfile, or the preset"
                    .to_owned(),
            );
        }
        if let (Some(setting), Some(_)) = (self.build.site().setting(), &self.build.containerfile) {
            return Err(format!(
                "build.{setting} is for presets that serve files: leave it out, or build.containerfile"
            ));
        }
        if let Some(probe) = &self.probe {
            match (probe.r#type, &probe.path) {
                (Check::Http, Some(path)) if !path.starts_with('/') => {
                    return Err("probe.path must start with `/`".to_owned());
                }
                (Check::Http, _) => {}
                (_, Some(_)) => return Err("probe.path is for type = \"http\"".to_owned()),
                (_, None) if probe.status.is_some() => {
                    return Err("probe.status is for type = \"http\"".to_owned());
                }
                _ => {}
            }
            match (probe.r#type, &probe.command) {
                (Check::Command, None) => {
                    return Err("probe.command is missing: the program to run in the container".to_owned());
                }
                (Check::Http | Check::Tcp | Check::Off, Some(_)) => {
                    return Err("probe.command is for type = \"command\"".to_owned());
                }
                _ => {}
            }
        }
        match self.env.required.iter().find(|name| !is_variable_name(name)) {
            Some(name) if name.contains('=') => {
                Err("env.required holds names only; set values with `wh env set`".to_owned())
            }
            Some(name) => Err(format!("env.required: `{name}` is no name of a variable")),
            None => Ok(()),
        }
    }

    /// The API's `settings`: what the file says and nothing else.
    pub(crate) fn settings(&self) -> Value {
        let mut settings = Map::new();
        put(&mut settings, "port", self.run.port);
        put(&mut settings, "replicas", self.run.replicas);
        put(&mut settings, "exclusive", self.run.exclusive);
        put(&mut settings, "command", self.run.command.clone());
        if let Some(deploy) = &self.deploy {
            let mut said = Map::new();
            put(&mut said, "strategy", deploy.strategy);
            put(&mut said, "pre_command", deploy.pre_command.clone());
            put(&mut said, "post_command", deploy.post_command.clone());
            put(&mut said, "drain_s", deploy.drain_s);
            put(&mut said, "stop_grace_s", deploy.stop_grace_s);
            settings.insert("deploy".to_owned(), Value::Object(said));
        }
        if let Some(probe) = &self.probe {
            settings.insert("probe".to_owned(), probe.to_json());
        }
        let mut resources = Map::new();
        put(&mut resources, "memory_mb", self.resources.memory_mb);
        put(&mut resources, "cpu_millis", self.resources.cpu_millis);
        put(&mut resources, "pids", self.resources.pids);
        if !resources.is_empty() {
            settings.insert("resources".to_owned(), Value::Object(resources));
        }
        put(&mut settings, "isolation", self.isolation.as_ref());
        let mut guard = Map::new();
        put(&mut guard, "restarts", self.crash_guard.restarts);
        put(&mut guard, "calm_s", self.crash_guard.calm_s);
        if !guard.is_empty() {
            settings.insert("crash_guard".to_owned(), Value::Object(guard));
        }
        put(&mut settings, "placement", self.placement.as_ref());
        let mut build = Map::new();
        put(&mut build, "folder", self.build.folder.clone());
        put(&mut build, "preset", self.build.preset);
        put(&mut build, "publish", self.build.publish.clone());
        put(&mut build, "spa", self.build.spa);
        put(&mut build, "path", self.build.containerfile.clone());
        put(&mut build, "context", self.build.context.clone());
        put(&mut build, "target", self.build.target.clone());
        put(&mut build, "args", Some(&self.build.args).filter(|args| !args.is_empty()));
        put(&mut build, "labels", Some(&self.build.labels).filter(|labels| !labels.is_empty()));
        put(&mut build, "platform", self.build.platform.clone());
        put(&mut build, "pull", self.build.pull);
        if !build.is_empty() {
            settings.insert("containerfile".to_owned(), Value::Object(build));
        }
        Value::Object(settings)
    }
}

impl Probe {
    fn to_json(&self) -> Value {
        let mut check = match self.r#type {
            Check::Tcp => json!({ "type": "tcp" }),
            Check::Off => json!({ "type": "off" }),
            Check::Command => json!({ "type": "command", "command": self.command }),
            Check::Http => json!({ "type": "http", "path": self.path.as_deref().unwrap_or("/") }),
        };
        if let (Some(status), Some(check)) = (self.status, check.as_object_mut()) {
            check.insert("status".to_owned(), json!(status));
        }
        self.with_times(check)
    }

    fn with_times(&self, check: Value) -> Value {
        let mut probe = Map::from_iter([("check".to_owned(), check)]);
        put(&mut probe, "interval_s", self.interval_s);
        put(&mut probe, "timeout_s", self.timeout_s);
        put(&mut probe, "start_within_s", self.start_within_s);
        put(&mut probe, "failures", self.failures);
        Value::Object(probe)
    }
}

fn put(map: &mut Map<String, Value>, name: &str, value: Option<impl serde::Serialize>) {
    if let Some(value) = value {
        map.insert(name.to_owned(), json!(value));
    }
}

/// POSIX names of environment variables.
pub(crate) fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (String, String) {
        let failure = parse(text, "f.toml").expect_err("refused");
        assert_eq!(failure.exit, Exit::Usage);
        (failure.message, failure.hint.unwrap_or_default())
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
        assert_eq!(
            refused("app = \"a\"\n\n[resources]\nmemory = 5\n"),
            ("f.toml line 4: unknown key `memory`".to_owned(), "did you mean `memory_mb`?".to_owned())
        );
        assert_eq!(
            refused("weather = 1"),
            (
                "f.toml line 1: unknown key `weather`".to_owned(),
                "known here: app, project, build, run, deploy, probe, resources, isolation, crash_guard, placement, \
                 env, routes, domains"
                    .to_owned()
            )
        );
        assert_eq!(refused("[biuld]\ncontext = \".\"").1, "did you mean `build`?");
    }

    #[test]
    fn wrong_values_are_named() {
        assert!(refused("app = \"a\"\n[run]\nport = 99999").0.starts_with("f.toml line 3:"));
        assert_eq!(refused("[run]\nport = 0").0, "f.toml: run.port must be between 1 and 65535");
        assert_eq!(refused("[probe]\npath = \"up\"").0, "f.toml: probe.path must start with `/`");
        assert!(refused("[build]\npreset = \"go\"\ncontainerfile = \"x\"").0.contains("build.preset"));
        assert!(refused("[build]\npreset = \"cobol\"").0.contains("line 2: unknown variant `cobol`"));
        assert_eq!(
            refused("[probe]\ntype = \"command\"").0,
            "f.toml: probe.command is missing: the program to run in the container"
        );
        assert_eq!(
            refused("[probe]\ntype = \"off\"\nstatus = 200").0,
            "f.toml: probe.status is for type = \"http\""
        );
        assert_eq!(
            refused("[env]\nrequired = [\"A=secret\"]").0,
            "f.toml: env.required holds names only; set values with `wh env set`"
        );
    }

    #[test]
    fn settings_hold_what_the_file_says_and_nothing_else() {
        assert_eq!(parse("app = \"a\"", "f").expect("valid").settings(), json!({}));
        let text = r#"
            app = "a"
            [build]
            containerfile = "deploy/Containerfile"
            args = { A = "1" }
            labels = { "org.example/a" = "b" }
            platform = "linux/arm64"
            pull = true
            [run]
            port = 8080
            command = ["serve", "-p"]
            [deploy]
            strategy = "rolling"
            drain_s = 60
            pre_command = ["migrate", "--all"]
            [probe]
            type = "http"
            path = "/up"
            status = 204
            failures = 5
            [resources]
            memory_mb = 256
            [isolation]
            read_only = true
            tmpfs = ["/data=8"]
            egress_mbit = 16
            [crash_guard]
            restarts = 2
        "#;
        assert_eq!(
            parse(text, "f").expect("valid").settings(),
            json!({
                "port": 8080, "command": ["serve", "-p"],
                "deploy": { "strategy": "rolling", "pre_command": ["migrate", "--all"], "drain_s": 60 },
                "probe": { "check": { "type": "http", "path": "/up", "status": 204 }, "failures": 5 },
                "resources": { "memory_mb": 256 },
                "isolation": { "read_only": true, "tmpfs": ["/data=8"], "egress_mbit": 16 },
                "crash_guard": { "restarts": 2 },
                "containerfile": {
                    "path": "deploy/Containerfile", "args": { "A": "1" }, "labels": { "org.example/a": "b" },
                    "platform": "linux/arm64", "pull": true
                },
            })
        );
    }

    #[test]
    fn a_preset_and_a_folder_are_settings_of_the_build() {
        assert_eq!(
            parse("[build]\nfolder = \"web\"\npreset = \"vite\"", "f").expect("valid").settings(),
            json!({ "containerfile": { "folder": "web", "preset": "vite" } })
        );
        assert_eq!(
            parse("[build]\npublish = \"dist\"\nspa = false", "f").expect("valid").settings(),
            json!({ "containerfile": { "publish": "dist", "spa": false } })
        );
        assert!(refused("[build]\nspa = true\ncontainerfile = \"x\"").0.contains("build.spa"));
    }

    #[test]
    fn a_probe_is_http_on_the_root_unless_it_says_otherwise() {
        let probe = |text: &str| parse(text, "f").expect("valid").settings()["probe"].clone();
        assert_eq!(probe("[probe]"), json!({ "check": { "type": "http", "path": "/" } }));
        assert_eq!(probe("[probe]\ntype = \"tcp\""), json!({ "check": { "type": "tcp" } }));
        assert_eq!(
            probe("[probe]\ntype = \"command\"\ncommand = [\"check\", \"-q\"]"),
            json!({ "check": { "type": "command", "command": ["check", "-q"] } })
        );
        assert_eq!(probe("[probe]\ntype = \"off\""), json!({ "check": { "type": "off" } }));
    }

    #[test]
    fn the_file_is_found_from_below_but_not_beyond_the_repository() {
        let root = tempfile::tempdir().expect("temp dir");
        let deep = root.path().join("repo/src/deep");
        std::fs::create_dir_all(&deep).expect("folders");
        std::fs::create_dir(root.path().join("repo/.git")).expect("folder");
        std::fs::write(root.path().join(FILE), "app = \"outer\"").expect("write");
        assert!(find(&deep).expect("readable").is_none());
        std::fs::write(root.path().join("repo").join(FILE), "app = \"inner\"").expect("write");
        let found = find(&deep).expect("readable").expect("found");
        assert_eq!(found.project.app.as_deref(), Some("inner"));
        assert_eq!(found.folder, root.path().join("repo"));
    }
}
