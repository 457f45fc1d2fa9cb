//! The command line's grammar.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use url::Url;

use crate::route::RouteCommand;

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
    Ps,
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
        /// For example www.example.com
        host: String,
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

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Address of the control plane
    #[arg(value_parser = crate::context::parse_url)]
    pub(crate) url: Option<Url>,
    /// Sign in with an API token, from a prompt, standard input or the environment
    #[arg(long, conflicts_with_all = ["email", "password_stdin"])]
    pub(crate) token: bool,
    /// Sign in as
    #[arg(long)]
    pub(crate) email: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "email")]
    pub(crate) password_stdin: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GitCommand {
    /// Show with what repositories are fetched
    #[command(alias = "ls")]
    Show,
    /// Store a deploy token, for HTTPS, in place of what the app has
    Token {
        /// The host of the repositories, for example git.example.com
        host: String,
        /// What the host expects beside the token
        #[arg(long, short, default_value = "git")]
        username: String,
        /// Read the token from standard input
        #[arg(long)]
        token_stdin: bool,
    },
    /// Store a deploy key, for SSH, in place of what the app has
    Key {
        /// The host of the repositories, for example git.example.com
        host: String,
        /// The private key, without a passphrase; - for standard input
        file: PathBuf,
        /// What ssh-keyscan prints; else the first key that the host shows is trusted
        #[arg(long, value_name = "FILE")]
        known_hosts: Option<PathBuf>,
    },
    /// Forget the token or key
    Rm,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CertCommand {
    /// List the certificates of all host names
    #[command(alias = "ls")]
    List,
    /// Show one, what was tried for it and which proxies serve it
    Show { host: String },
    /// Print the chain that is served, as PEM
    ExportChain { host: String },
    /// Order a new one now
    Reissue {
        host: String,
        /// Also when one was ordered within the last hour
        #[arg(long)]
        again: bool,
    },
    /// Serve a certificate of your own in place of ordered ones
    Import {
        /// The certificate and its chain, PEM, in any order; may hold the key as well
        chain: PathBuf,
        /// The private key without a passphrase, PEM; - for standard input
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Forget an imported certificate; proxies serve or order one of a CA
    Remove {
        /// A host name that it is served for, or a name of it
        name: String,
        /// Its first name once more, instead of being asked for it
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DomainCommand {
    /// List the app's domains
    #[command(alias = "list")]
    Ls,
    /// Add a domain, and show what its DNS needs
    Add {
        /// For example www.example.com, bücher.example or '*.example.com'
        hostname: String,
        /// Wait until it is verified and has its certificate
        #[arg(long)]
        wait: bool,
    },
    /// Show a domain: its records, what is wrong, its certificate and its paths
    Show {
        hostname: String,
        /// Only the records, as lines of a zone file
        #[arg(long)]
        zone_file: bool,
    },
    /// Look for the domain's record now
    #[command(alias = "check")]
    Verify { hostname: String },
    /// Give the domain to another app
    Move { hostname: String, to: String },
    /// Remove the domain; it is not served any more
    #[command(alias = "remove")]
    Rm { hostname: String },
    /// Lead paths of the domain to other apps of the project
    #[command(subcommand)]
    Path(DomainPathCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DomainPathCommand {
    /// Lead a path and all below it to an app
    #[command(alias = "set")]
    Add {
        hostname: String,
        /// For example /api
        path: String,
        /// The app that answers
        to: String,
        /// That app sees the path without the prefix
        #[arg(long)]
        strip: bool,
    },
    /// Lead it to the domain's own app again
    #[command(alias = "remove")]
    Rm { hostname: String, path: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RegistryCommand {
    /// List the registries that builds are logged in to
    #[command(alias = "list")]
    Ls,
    /// Store a login for all builds of the organization
    Login {
        /// As images are named with it, for example registry.example.com:5000
        host: String,
        #[arg(long, short)]
        username: Option<String>,
        /// Read the password or token from standard input
        #[arg(long, requires = "username")]
        password_stdin: bool,
    },
    /// Forget a login
    #[command(alias = "logout")]
    Rm { host: String },
    /// Keep built images in a registry as well, or in none any more
    Use {
        /// One that is logged in to
        #[arg(required_unless_present = "none", conflicts_with = "none")]
        host: Option<String>,
        /// Below the host: images are named HOST/PATH/APP:v3
        #[arg(long, conflicts_with = "none")]
        path: Option<String>,
        #[arg(long)]
        none: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DnsProviderCommand {
    /// List the DNS providers of the organization and of the platform
    #[command(alias = "list")]
    Ls,
    /// Store one; its token or key is asked for
    Add(AddDnsProvider),
    /// Set a record, wait until every name server answers it, and remove it
    Test {
        zone: String,
        /// The one of the platform
        #[arg(long)]
        platform: bool,
    },
    /// Forget one
    #[command(alias = "remove")]
    Rm {
        zone: String,
        /// The one of the platform
        #[arg(long)]
        platform: bool,
    },
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("provider").required(true)))]
pub(crate) struct AddDnsProvider {
    /// It can set this name and all below it, for example example.com
    pub(crate) zone: String,
    /// Zone is at Cloudflare: give an API token with Zone:Read and DNS:Edit
    #[arg(long, group = "provider")]
    pub(crate) cloudflare: bool,
    /// Primary name server that takes signed updates (RFC 2136), for example ns1.example.com
    #[arg(long, value_name = "SERVER", group = "provider", requires = "key_name")]
    pub(crate) rfc2136: Option<String>,
    /// Name of the TSIG key on that server
    #[arg(long, value_name = "NAME", requires = "rfc2136")]
    pub(crate) key_name: Option<String>,
    /// hmac-sha256, hmac-sha384 or hmac-sha512
    #[arg(long, value_name = "NAME", requires = "rfc2136", default_value = "hmac-sha256")]
    pub(crate) algorithm: String,
    /// Ask this server (address and port) for records, in place of the zone's; may be repeated
    #[arg(long = "check-server", value_name = "ADDRESS", requires = "rfc2136")]
    pub(crate) check_servers: Vec<String>,
    /// For all apps of the platform, and its wildcard certificate; needs an owner
    #[arg(long)]
    pub(crate) platform: bool,
    /// Read the token or key from standard input
    #[arg(long)]
    pub(crate) secret_stdin: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List contexts
    #[command(alias = "list")]
    Ls,
    /// Make one the current
    Use { name: String },
    /// Show one; the current when none is named
    Show { name: Option<String> },
    /// Forget one; does not revoke its token
    Rm { name: String },
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Overwrite wisehosting.toml
    #[arg(long)]
    pub(crate) force: bool,
    /// Write the Containerfile of the preset that fits, to change it
    #[arg(long)]
    pub(crate) eject: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// The folder; else the one of the project file, else this one
    #[arg(conflicts_with_all = ["git", "image"])]
    pub(crate) folder: Option<PathBuf>,
    /// A repository
    #[arg(long, value_name = "URL", conflicts_with = "image")]
    pub(crate) git: Option<String>,
    /// Branch, tag or commit of the repository
    #[arg(long = "ref", value_name = "REF", requires = "git", default_value = "main")]
    pub(crate) reference: String,
    /// Fetch the repositories that it refers to as well
    #[arg(long, requires = "git")]
    pub(crate) submodules: bool,
    /// Fetch its large files (LFS) as well
    #[arg(long, requires = "git")]
    pub(crate) lfs: bool,
    /// An image of a registry
    #[arg(long, value_name = "REFERENCE")]
    pub(crate) image: Option<String>,
    /// Build every step anew, not from what earlier builds left
    #[arg(long, conflicts_with = "image")]
    pub(crate) no_cache: bool,
    /// The project of an app that is created
    #[arg(long)]
    pub(crate) project: Option<String>,
    /// A few words about this deployment
    #[arg(long, short)]
    pub(crate) message: Option<String>,
    /// Wait and show stages and log (the default)
    #[arg(long, conflicts_with = "detach")]
    pub(crate) watch: bool,
    /// Do not wait for the end
    #[arg(long)]
    pub(crate) detach: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AppsCommand {
    /// List apps
    #[command(alias = "list")]
    Ls {
        /// Of one project
        #[arg(long)]
        project: Option<String>,
        /// The deleted ones that can still come back
        #[arg(long, conflicts_with = "project")]
        deleted: bool,
    },
    /// Create an app without deploying it
    Create {
        name: String,
        #[arg(long)]
        project: Option<String>,
        /// Suffix of the zone that it is served in; the default one otherwise
        #[arg(long)]
        zone: Option<String>,
        /// The port that it listens on
        #[arg(long)]
        port: Option<u16>,
        #[arg(long)]
        replicas: Option<u32>,
    },
    /// Show one app
    #[command(alias = "show")]
    Info { name: Option<String> },
    /// Delete an app; for 7 days it can come back
    #[command(alias = "delete")]
    Rm {
        name: String,
        /// The name once more, instead of being asked for it
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
    /// Bring a deleted app back
    Undelete {
        name: String,
        /// Do not wait for the end
        #[arg(long)]
        detach: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Resize {
    /// The app; else as for every command
    pub(crate) app_name: Option<String>,
    /// Memory, for example 512M or 2G
    #[arg(long, value_parser = crate::settings::memory)]
    pub(crate) memory: Option<u32>,
    /// Cores, for example 0.5 or 2
    #[arg(long, value_name = "CORES", value_parser = crate::settings::cpu)]
    pub(crate) cpu: Option<u32>,
    #[command(flatten)]
    pub(crate) applying: Applying,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SettingsCommand {
    /// Change settings; `wh apply` or the next deployment brings them
    Set {
        /// Keys are those of wisehosting.toml, for example run.port=8080; KEY= takes the default
        #[arg(required = true, value_name = "KEY=VALUE")]
        pairs: Vec<String>,
        #[command(flatten)]
        applying: Applying,
    },
}

/// What a change of settings does to the app.
#[derive(Debug, Args)]
pub(crate) struct Applying {
    /// Deploy it at once, with the image that serves
    #[arg(long)]
    pub(crate) apply: bool,
    /// A few words about that deployment; else what changes
    #[arg(long, short, requires = "apply")]
    pub(crate) message: Option<String>,
    /// Do not wait for the end of the deployment
    #[arg(long, requires = "apply")]
    pub(crate) detach: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Go on with new lines
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// This many last lines
    #[arg(long, short = 'n', default_value_t = 100, value_name = "LINES")]
    pub(crate) tail: u32,
    /// Of one instance, by its id or the end of it
    #[arg(long, value_name = "ID")]
    pub(crate) instance: Option<String>,
    /// Of one release, by its number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) release: Option<i32>,
    /// Only lines with this in them, in whatever case
    #[arg(long, value_name = "TEXT")]
    pub(crate) grep: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// The app; else as for every command
    pub(crate) app_name: Option<String>,
    /// In one instance, by its id or the end of it; else in a healthy one
    #[arg(long, value_name = "ID")]
    pub(crate) instance: Option<String>,
    /// Give the program no terminal
    #[arg(long, short = 'T')]
    pub(crate) no_terminal: bool,
    /// The program and its arguments; else `sh`
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The app; else as for every command
    pub(crate) app_name: Option<String>,
    /// Give the program no terminal
    #[arg(long, short = 'T')]
    pub(crate) no_terminal: bool,
    /// The program and its arguments; else `sh`
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Cp {
    /// A path in an instance, written `APP:/PATH`, or one here
    pub(crate) from: String,
    /// The other one; a folder that is there is copied into
    pub(crate) to: String,
    /// One instance, by its id or the end of it; else a healthy one
    #[arg(long, value_name = "ID")]
    pub(crate) instance: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReleasesCommand {
    /// List the app's releases
    #[command(alias = "list")]
    Ls,
    /// Show what differs between two releases
    Diff {
        /// The number of one
        before: i64,
        /// The number of the other; else the one that serves
        after: Option<i64>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeploymentsCommand {
    /// List the app's deployments
    #[command(alias = "list")]
    Ls,
    /// Show one with its stages
    Show {
        /// Its number; else the latest
        number: Option<i64>,
        /// Its log too
        #[arg(long)]
        log: bool,
        /// Only the Containerfile that a preset wrote for it
        #[arg(long, conflicts_with = "log")]
        containerfile: bool,
    },
    /// Follow one to its end
    Watch {
        /// Its number; else the latest
        number: Option<i64>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// List the builds of all apps that run or wait
    #[command(alias = "list")]
    Ls,
    /// Move the build of a deployment of the app to the front
    Front {
        /// The deployment's number; else the latest
        number: Option<i64>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum EnvCommand {
    /// List variables
    #[command(alias = "list")]
    Ls {
        /// Show values
        #[arg(long)]
        reveal: bool,
        /// What the platform sets in every container, instead
        #[arg(long, conflicts_with = "reveal")]
        predefined: bool,
    },
    /// Set variables and deploy
    Set {
        /// NAME=value; NAME=- reads the value from standard input; NAME keeps it and changes what is said about it
        #[arg(required = true, value_name = "NAME=VALUE")]
        pairs: Vec<String>,
        #[command(flatten)]
        flags: VariableFlags,
        #[command(flatten)]
        effect: Effect,
    },
    /// Set variables from a .env file and deploy
    Import {
        /// `-` is standard input
        file: PathBuf,
        /// Remove the variables that the file does not have, but for locked ones, and take its order
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        effect: Effect,
    },
    /// Print variables, values included, as a .env file; without locked ones
    Export,
    /// Remove variables and deploy
    Unset {
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        effect: Effect,
    },
}

/// What is said about variables.
#[derive(Debug, Args)]
pub(crate) struct VariableFlags {
    /// Let build steps mount them: RUN --mount=type=secret,id=NAME
    #[arg(long, conflicts_with = "no_build")]
    pub(crate) build: bool,
    /// Keep them from build steps
    #[arg(long)]
    pub(crate) no_build: bool,
    /// Deploy nothing while they have no value
    #[arg(long, conflicts_with = "no_required")]
    pub(crate) required: bool,
    /// Let the app do without them
    #[arg(long)]
    pub(crate) no_required: bool,
    /// Never show their values again, to nobody; they can be replaced
    #[arg(long)]
    pub(crate) locked: bool,
    /// What they are for
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
}

/// What a change of variables does to the app.
#[derive(Debug, Args)]
pub(crate) struct Effect {
    /// Leave it pending: `wh apply` or the next deployment brings it
    #[arg(long)]
    pub(crate) stage: bool,
    /// Do not wait for the end of the deployment
    #[arg(long, conflicts_with = "stage")]
    pub(crate) detach: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// List nodes
    #[command(alias = "list")]
    Ls,
    /// Show one node and its agents
    Show { name: String },
    /// Set or remove labels of a node; alone: list
    Label {
        name: String,
        /// KEY=VALUE sets one, KEY- removes it
        #[arg(value_name = "KEY=VALUE")]
        changes: Vec<String>,
    },
    /// Forget a node that holds no instances
    Rm { name: String },
    /// Tokens by which new nodes join
    #[command(subcommand)]
    Token(NodeTokenCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum FleetCommand {
    /// Print the public keys of all nodes as lines for hosts/fleet.nix
    Pin,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ZoneCommand {
    /// List zones, with the DNS records that they need
    #[command(alias = "list")]
    Ls,
    /// Add a zone that the proxies answer for, or one worker by itself
    Add {
        /// For example de.example.com
        suffix: String,
        #[command(flatten)]
        answer: ZoneAnswer,
    },
    /// Change who answers for a zone, or make it the one of new apps
    Set {
        suffix: String,
        /// The proxies answer for it
        #[arg(long, conflicts_with_all = ["worker", "port"])]
        proxy: bool,
        #[command(flatten)]
        answer: ZoneAnswer,
    },
    /// Remove a zone that no app is in
    Rm { suffix: String },
    /// Serve the app in another zone, at once
    Move { suffix: String },
}

#[derive(Debug, Args)]
pub(crate) struct ZoneAnswer {
    /// The worker that answers for it by itself, in plain HTTP
    #[arg(long, value_name = "NODE")]
    pub(crate) worker: Option<String>,
    /// At which visitors reach that worker: 8080 by default; 443 when something in front speaks HTTPS
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// New apps get it
    #[arg(long)]
    pub(crate) default: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RouteTokenCommand {
    /// Make a token; it is shown once
    Create {
        /// Who gets it
        name: String,
        /// For the direct zones of this worker, not for the proxies' routes
        #[arg(long, value_name = "NODE")]
        worker: Option<String>,
        /// How long it works; without it until it is revoked
        #[arg(long, value_parser = crate::ui::time::parse, value_name = "TIME")]
        expires: Option<Duration>,
    },
    /// List tokens
    #[command(alias = "list")]
    Ls,
    /// Make a token in place of another, which works on for a while
    Rotate {
        id: String,
        /// How long both work
        #[arg(long, default_value = "1d", value_parser = crate::ui::time::parse, value_name = "TIME")]
        overlap: Duration,
    },
    /// End a token at once
    #[command(alias = "rm")]
    Revoke { id: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodeTokenCommand {
    /// Make a token for one node
    Create {
        /// What the node is for; may be repeated
        #[arg(long = "role", required = true, value_parser = ["worker", "proxy", "control-plane"])]
        roles: Vec<String>,
        /// Bind the token to this host name
        #[arg(long)]
        name: Option<String>,
        /// How long it can be used
        #[arg(long, default_value = "1h", value_parser = crate::ui::time::parse, value_name = "TIME")]
        expires: Duration,
    },
    /// List tokens
    #[command(alias = "list")]
    Ls,
    /// Make a token useless
    Revoke { id: String },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_grammar_is_sound() {
        super::Cli::command().debug_assert();
    }
}
