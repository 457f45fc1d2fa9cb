//! One module per noun; each command is a function from arguments to requests and lines.

mod activity;
mod apps;
mod cert_imports;
mod certs;
mod contexts;
mod cp;
mod deploy;
mod deployments;
mod dns_provider;
mod doctor;
mod domains;
mod env;
mod env_file;
mod exec;
mod fleet;
mod git;
mod healing;
mod init;
mod local;
mod logs;
mod manual;
mod mesh;
mod mesh_keys;
mod moves;
mod network;
mod node_add;
mod node_health;
mod node_keys;
mod node_log;
mod node_numbers;
mod node_room;
mod node_storage;
mod nodes;
mod notices;
mod plan;
mod power;
mod projects;
mod queue;
mod registry;
mod releases;
mod requests;
mod route_table;
mod routes;
mod session;
mod settings;
mod streams;
mod tombstones;
mod traffic;
mod upload;
mod usage;
mod watch;
mod way;
mod zones;

use std::path::PathBuf;

use clap::CommandFactory as _;
use secrecy::SecretString;

use crate::api::types::App;
use crate::api::{Client, path};
use crate::args::{Cli, Command, FleetCommand, Global, RebalanceCommand};
use crate::context::{Choice, Context, Store};
use crate::failure::{Exit, Failure, Result};
use crate::project::{self, Found};
use crate::ui::Ui;

/// Runs a command; the exit code is 0 unless it is that of a program elsewhere.
pub(crate) async fn run(cli: Cli, ui: Ui) -> Result<u8> {
    let shell = &Shell { ui, global: cli.global };
    let done = match cli.command {
        Command::Exec(exec) => return exec::run(shell, exec).await,
        Command::Run(run) => return exec::run_fresh(shell, run).await,
        Command::Login(login) => session::login(shell, login).await,
        Command::Logout => session::logout(shell).await,
        Command::Whoami => session::whoami(shell).await,
        Command::Context(command) => contexts::run(shell, command),
        Command::Init(init) => init::run(shell, &init),
        Command::Deploy(deploy) => deploy::run(shell, deploy).await,
        Command::Apps { command } => apps::run(shell, command).await,
        Command::Ps { r#use: true } => usage::ps(shell).await,
        Command::Ps { r#use: false } => apps::ps(shell).await,
        Command::Activity { app_name, limit } => activity::run(shell, app_name, limit).await,
        Command::Doctor { host, from } => doctor::run(shell, &host, from.as_deref()).await,
        Command::Stop => power::stop(shell).await,
        Command::Start { detach } => power::start(shell, detach).await,
        Command::Restart { instance, detach } => power::restart(shell, instance, detach).await,
        Command::Scale { replicas, plan: true, .. } => power::plan_scale(shell, replicas).await,
        Command::Scale { replicas, message, detach, .. } => {
            power::scale(shell, replicas, message, detach).await
        }
        Command::Resize(resize) => settings::resize(shell, resize).await,
        Command::Settings { app_name, command } => settings::run(shell, app_name, command).await,
        Command::Route { domain, command } => routes::run(shell, domain, command).await,
        Command::Logs(logs) => logs::run(shell, logs).await,
        Command::Traffic(asked) => traffic::run(shell, asked).await,
        Command::Requests(asked) => requests::run(shell, asked).await,
        Command::Cp(cp) => cp::run(shell, cp).await,
        Command::Releases { command } => releases::run(shell, command).await,
        Command::Plan => plan::plan(shell).await,
        Command::Apply { message, detach } => plan::apply(shell, message, detach).await,
        Command::Rollback { release, message, detach } => {
            releases::rollback(shell, release, message, detach).await
        }
        Command::Deployments { command } => deployments::run(shell, command).await,
        Command::Cancel { number } => deployments::cancel(shell, number).await,
        Command::Queue { command } => queue::run(shell, command).await,
        Command::Env { command } => env::run(shell, command).await,
        Command::Git { command } => git::run(shell, command).await,
        Command::Domain { command } => domains::run(shell, command).await,
        Command::Stream { command } => streams::run(shell, command).await,
        Command::Project { command } => projects::run(shell, command).await,
        Command::Network { command } => network::run(shell, command).await,
        Command::Registry { command } => registry::run(shell, command).await,
        Command::Cert { command } => certs::run(shell, command).await,
        Command::Notices { all } => notices::run(shell, all).await,
        Command::DnsProvider { command } => dns_provider::run(shell, command).await,
        Command::Node(command) => nodes::run(shell, command).await,
        Command::Rebalance { command: Some(RebalanceCommand::Cancel { id }), .. } => {
            moves::cancel(shell, id).await
        }
        Command::Rebalance { apply, detach, command: None } => moves::rebalance(shell, apply, detach).await,
        Command::Mesh { command } => mesh::run(shell, command).await,
        Command::Zone { command } => zones::run(shell, command).await,
        Command::Routes { search, worker } => {
            route_table::table(shell, worker.as_deref(), search.as_deref()).await
        }
        Command::RouteToken(command) => route_table::token(shell, command).await,
        Command::Fleet(FleetCommand::Pin) => fleet::pin(shell).await,
        Command::Open { print } => apps::open(shell, print).await,
        Command::Completions { shell: kind } => completion(kind),
        Command::Version => session::version(shell).await,
        Command::Man { directory } => manual::write(&directory),
    };
    done.map(|()| 0)
}

fn completion(kind: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(kind, &mut Cli::command(), "wh", &mut script);
    crate::ui::data(&String::from_utf8_lossy(&script))
}

/// What every command needs: how to speak, where to, about which app.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) ui: Ui,
    global: Global,
}

impl Shell {
    /// The context in force, with its name if it has one.
    fn context(&self) -> Result<(Option<String>, Context)> {
        Store::load(&crate::context::path()?)?.resolve(Choice {
            context: self.global.context.clone(),
            url: self.global.control_plane.clone(),
            token: environment_token(),
            ca_file: self.ca_file()?,
        })
    }

    fn client(&self) -> Result<Client> {
        let (_, context) = self.context()?;
        Client::new(&context.url, context.token, context.ca_file.as_deref())
    }

    /// Absolute, because a context outlives the folder in which it was made.
    fn ca_file(&self) -> Result<Option<PathBuf>> {
        let absolute = |path: &PathBuf| {
            std::path::absolute(path).map_err(|error| Failure::io("cannot find the CA file", &error))
        };
        self.global.ca_file.as_ref().map(absolute).transpose()
    }

    /// The project file of this folder or one above it.
    fn project() -> Result<Option<Found>> {
        let here = std::env::current_dir().map_err(|error| Failure::io("cannot find this folder", &error))?;
        project::find(&here)
    }

    /// Flag, environment or project file.
    fn app(&self) -> Result<String> {
        match &self.global.app {
            Some(app) => Ok(app.clone()),
            None => Self::project()?.and_then(|found| found.project.app).ok_or_else(no_app),
        }
    }

    /// `/apps/<app>/<rest>` for the app in question.
    fn app_path(&self, rest: &[&str]) -> Result<String> {
        let app = self.app()?;
        Ok(path(&[&["apps", &app], rest].concat()))
    }

    async fn get_app(&self, client: &Client) -> Result<App> {
        client.get(&self.app_path(&[])?).await
    }
}

fn no_app() -> Box<Failure> {
    Failure::new(Exit::Usage, "app_unknown", "which app?")
        .hint("name it with `--app NAME` or WH_APP, or write a project file with `wh init`")
}

fn environment_token() -> Option<SecretString> {
    std::env::var("WH_TOKEN")
        .ok()
        .map(|token| token.trim().to_owned())
        .filter(|token| !token.is_empty())
        .map(Into::into)
}

/// The end of an id: ids begin with the time, so their beginnings look alike.
fn short(id: &str) -> &str {
    id.len().checked_sub(8).and_then(|start| id.get(start..)).unwrap_or(id)
}
