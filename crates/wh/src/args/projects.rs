//! What is said of projects.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectCommand {
    /// List projects, with the number of their apps
    #[command(alias = "list")]
    Ls,
    /// Make a project
    Create {
        /// Its word in commands and in private names (APP.SLUG.internal); it stays as it is
        slug: String,
        /// What people read; the slug without it
        #[arg(long)]
        name: Option<String>,
    },
    /// Give a project another name; its slug stays
    Rename { slug: String, name: String },
    /// Remove a project that no app is in, with its grants
    #[command(alias = "remove")]
    Rm {
        slug: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}
