//! The command line's grammar.

mod apps;
mod fleet;
mod network;
mod projects;
mod routing;
mod streams;
mod traffic;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use url::Url;

use crate::route::RouteCommand;
pub(crate) use apps::{
    Applying, AppsCommand, Cp, Deploy, DeploymentsCommand, Effect, EnvCommand, Exec, GitCommand, Init, Logs,
    ReleasesCommand, Resize, Run, SettingsCommand, VariableFlags,
};
pub(crate) use fleet::{
    AddNode, ContextCommand, FleetCommand, Login, MaxInstances, MeshCommand, NodeCommand, NodeKind, NodeLogs,
    NodeSettings, NodeTokenCommand, QueueCommand, RebalanceCommand, RegisterNode, RegistryCommand,
};
pub(crate) use network::{Egress, Granted, NetworkCommand};
pub(crate) use projects::ProjectCommand;
pub(crate) use routing::{
    AddDnsProvider, CertCommand, DnsProviderCommand, DomainCommand, DomainPathCommand, RouteTokenCommand,
    ZoneAnswer, ZoneCommand,
};
pub(crate) use streams::{AddStream, StreamCommand, StreamProtocol};
pub(crate) use traffic::{Range, Requests, Traffic};

/// Deploys to and looks after your own cloud.
#[derive(Debug, Parser)]
#[command(name = "wh", version, propagate_version = true, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 error, 2 usage, 3 not signed in or not allowed, 4 not found, \
5 conflict, 6 failed deployment, 7 timeout, 8 partial answer";

/// Holds for every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The app; else the project file's
    #[arg(long, short, global = true, env = "WH_APP", value_name = "NAME")]
    pub(crate) app: Option<String>,
    /// The context; else the current one
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Certificates (PEM) of a private CA
    #[arg(long, global = true, env = "WH_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// JSON on standard output, errors as JSON on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How to show data
    #[arg(long, global = true, value_enum, default_value_t = Output::Table, hide_default_value = true, conflicts_with = "json")]
    pub(crate) output: Output,
    /// Give up after this time, for example 90s or 10m
    #[arg(long, global = true, value_parser = crate::ui::time::parse, value_name = "TIME")]
    pub(crate) timeout: Option<Duration>,
    /// The control plane, instead of a context's
    #[arg(long, global = true, hide = true, env = "WH_URL", value_parser = crate::context::parse_url)]
    pub(crate) control_plane: Option<Url>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sign in to a control plane
    Login(Login),
    /// Sign out and revoke the token
    Logout,
    /// Show who is signed in, and where
    Whoami,
    /// Switch between control planes
    #[command(subcommand)]
    Context(ContextCommand),
    /// Look at this folder and write wisehosting.toml
    Init(Init),
    /// Deploy this folder, a repository or an image
    Deploy(Deploy),
    /// List, create or show apps; alone: list
    Apps {
        #[command(subcommand)]
        command: Option<AppsCommand>,
    },
    /// List the app's instances
    Ps {
        /// What each uses of what it may
        #[arg(long = "use")]
        r#use: bool,
    },
    /// Show what happened to the app, the newest first
    Activity {
        /// The app; else as for every command
        app_name: Option<String>,
        /// At most this many events
        #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=200))]
        limit: u8,
    },
    /// Find out why a host name does not answer, and what to do
    Doctor {
        /// For example www.example.com, or api.shop.internal of the private network
        host: String,
        /// The project whose apps ask for a name of the private network; else the name's own
        #[arg(long, value_name = "PROJECT")]
        from: Option<String>,
    },
    /// Stop the app; its release and its address stay
    Stop,
    /// Start the stopped app again
    Start {
        /// Do not wait for the end
        #[arg(long)]
        detach: bool,
    },
    /// Replace the app's instances, without losing a request
    Restart {
        /// Only this one, by its id or the end of it
        #[arg(long, value_name = "ID")]
        instance: Option<String>,
        /// Do not wait for the end
        #[arg(long)]
        detach: bool,
    },
    /// Set the number of the app's instances
    Scale {
        #[arg(value_parser = clap::value_parser!(u16).range(1..=100))]
        replicas: u16,
        /// Only show what would happen
        #[arg(long, conflicts_with_all = ["message", "detach"])]
        plan: bool,
        /// A few words about why
        #[arg(long, short)]
        message: Option<String>,
        /// Do not wait for the end
        #[arg(long)]
        detach: bool,
    },
    /// Change what each instance may use
    Resize(Resize),
    /// Show the app's settings or change them; alone: show
    Settings {
        /// The app; else as for every command
        app_name: Option<String>,
        #[command(subcommand)]
        command: Option<SettingsCommand>,
    },
    /// Show what is done with the app's requests or change it; alone: show
    #[command(alias = "routing")]
    Route {
        /// Of this domain of the app alone
        #[arg(long, global = true, value_name = "HOST")]
        domain: Option<String>,
        #[command(subcommand)]
        command: Option<RouteCommand>,
    },
    /// Show the app's log
    Logs(Logs),
    /// Show what came in for the app, in numbers
    Traffic(Traffic),
    /// Show some of the app's requests one by one
    Requests(Requests),
    /// Run a program in an instance, such as a shell
    #[command(alias = "console")]
    Exec(Exec),
    /// Run a program in a container of its own, made from the live release and removed at the end
    Run(Run),
    /// Copy files out of an instance or into it
    Cp(Cp),
    /// List the app's releases or compare two; alone: list
    #[command(alias = "release")]
    Releases {
        #[command(subcommand)]
        command: Option<ReleasesCommand>,
    },
    /// Show what waits to be deployed, and what it takes
    Plan,
    /// Deploy what waits, with the image that serves
    Apply {
        /// A few words about this deployment; else what changes
        #[arg(long, short)]
        message: Option<String>,
        /// Do not wait for the end
        #[arg(long)]
        detach: bool,
    },
    /// Go back to an earlier release
    Rollback {
        /// Its number; else the one before
        release: Option<i64>,
        /// A few words about why
        #[arg(long, short)]
        message: Option<String>,
        /// Do not wait for the end
        #[arg(long)]
        detach: bool,
    },
    /// List or show deployments; alone: list
    #[command(alias = "deployment")]
    Deployments {
        #[command(subcommand)]
        command: Option<DeploymentsCommand>,
    },
    /// Cancel the app's running or waiting deployment
    Cancel {
        /// Its number; else the latest
        number: Option<i64>,
    },
    /// See which builds run and wait, and why; alone: list
    Queue {
        #[command(subcommand)]
        command: Option<QueueCommand>,
    },
    /// List, set or unset environment variables; alone: list
    Env {
        #[command(subcommand)]
        command: Option<EnvCommand>,
    },
    /// Give the app access to private repositories; alone: show
    Git {
        #[command(subcommand)]
        command: Option<GitCommand>,
    },
    /// Host names of your own for the app; alone: list
    #[command(alias = "domains")]
    Domain {
        #[command(subcommand)]
        command: Option<DomainCommand>,
    },
    /// TCP and UDP ports of the proxies that lead to the app; alone: list
    #[command(alias = "streams")]
    Stream {
        #[command(subcommand)]
        command: Option<StreamCommand>,
    },
    /// Projects, which apps belong to; alone: list
    #[command(alias = "projects")]
    Project {
        #[command(subcommand)]
        command: Option<ProjectCommand>,
    },
    /// How apps reach each other by name, and where they may go besides; alone: that of the app's project
    Network {
        #[command(subcommand)]
        command: Option<NetworkCommand>,
    },
    /// Log in to registries of private images; alone: list
    #[command(alias = "registries")]
    Registry {
        #[command(subcommand)]
        command: Option<RegistryCommand>,
    },
    /// See and renew certificates of host names; alone: list
    #[command(alias = "certs")]
    Cert {
        #[command(subcommand)]
        command: Option<CertCommand>,
    },
    /// See what somebody should look at
    Notices {
        /// Those of the last 30 days that are over as well
        #[arg(long)]
        all: bool,
    },
    /// Say where DNS records of certificates can be set; alone: list
    #[command(alias = "dns-providers")]
    DnsProvider {
        #[command(subcommand)]
        command: Option<DnsProviderCommand>,
    },
    /// Look after the hosts
    #[command(subcommand, alias = "nodes")]
    Node(NodeCommand),
    /// Show which instances are better off on other nodes
    #[command(args_conflicts_with_subcommands = true)]
    Rebalance {
        /// Move them, a few at a time, without a failed request
        #[arg(long)]
        apply: bool,
        /// Do not wait for the end
        #[arg(long, requires = "apply")]
        detach: bool,
        #[command(subcommand)]
        command: Option<RebalanceCommand>,
    },
    /// See who reaches whom between the hosts, and what is wrong; alone: show
    Mesh {
        #[command(subcommand)]
        command: Option<MeshCommand>,
    },
    /// DNS suffixes that apps are served under; alone: list
    #[command(alias = "zones")]
    Zone {
        #[command(subcommand)]
        command: Option<ZoneCommand>,
    },
    /// Show what the proxies serve, and which of them have it in force
    Routes {
        /// Part of a host name or of an app's name
        search: Option<String>,
        /// The direct zones of this worker instead
        #[arg(long, value_name = "NODE")]
        worker: Option<String>,
    },
    /// Tokens by which a Traefik of yours reads its routes
    #[command(subcommand)]
    RouteToken(RouteTokenCommand),
    /// Help with the file that declares the hosts
    #[command(subcommand)]
    Fleet(FleetCommand),
    /// Open the app in the browser
    Open {
        /// Print the address only
        #[arg(long)]
        print: bool,
    },
    /// Print a completion script for a shell
    #[command(alias = "completion")]
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Show the version of wh and of the control plane
    Version,
    /// Write the manual pages, for packages
    #[command(hide = true)]
    Man { directory: PathBuf },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_grammar_is_sound() {
        super::Cli::command().debug_assert();
    }
}
