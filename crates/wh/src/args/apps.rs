//! What is said of an app: deploying, settings, programs, releases, variables.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
