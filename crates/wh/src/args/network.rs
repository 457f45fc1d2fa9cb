//! What is said of the private network.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum NetworkCommand {
    /// Show the names that a project's apps reach, its grants and its egress rules
    #[command(aliases = ["ls", "list"])]
    Show {
        /// The project; else the app's
        project: Option<String>,
    },
    /// Let a project's apps reach another project, or one app of it
    Grant(Granted),
    /// Take a grant back; connections that are open stay
    Revoke(Granted),
    /// Say where a project's containers may open connections outside of the private network
    Egress(Egress),
}

#[derive(Debug, Args)]
pub(crate) struct Granted {
    /// The project whose apps may
    pub(crate) from: String,
    /// What they may reach: a project, or an app as PROJECT/APP
    pub(crate) to: String,
}

#[derive(Debug, Args)]
pub(crate) struct Egress {
    pub(crate) project: String,
    /// Anywhere public, as it is without rules
    #[arg(long, conflicts_with_all = ["none", "allow"])]
    pub(crate) open: bool,
    /// Nowhere
    #[arg(long, conflicts_with = "allow")]
    pub(crate) none: bool,
    /// Only there: a network or an address, and perhaps ports (203.0.113.0/24:443,5432); may be repeated
    #[arg(long, value_name = "NETWORK[:PORTS]", required_unless_present_any = ["open", "none"])]
    pub(crate) allow: Vec<String>,
}
