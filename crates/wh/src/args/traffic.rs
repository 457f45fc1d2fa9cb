//! What is asked about an app's requests.

use std::time::Duration;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct Traffic {
    /// The app; else as for every command
    pub(crate) app_name: Option<String>,
    /// For how long back
    #[arg(long, value_enum, default_value_t = Range::Day)]
    pub(crate) range: Range,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Range {
    #[value(name = "1h")]
    Hour,
    #[value(name = "6h")]
    SixHours,
    #[value(name = "24h")]
    Day,
    #[value(name = "7d")]
    Week,
    #[value(name = "30d")]
    Month,
}

#[derive(Debug, Args)]
pub(crate) struct Requests {
    /// The app; else as for every command
    pub(crate) app_name: Option<String>,
    /// Answered with this status or a class of them, for example 404 or 5xx
    #[arg(long)]
    pub(crate) status: Option<String>,
    #[arg(long)]
    pub(crate) method: Option<String>,
    /// What the path begins with
    #[arg(long)]
    pub(crate) path: Option<String>,
    /// For this host name
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// From this address or network
    #[arg(long)]
    pub(crate) client: Option<String>,
    /// That took longer, for example 500ms or 2s
    #[arg(long, value_name = "TIME", value_parser = crate::ui::time::parse_short)]
    pub(crate) slower_than: Option<Duration>,
    /// At most this many, the newest
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..=200))]
    pub(crate) limit: u8,
    /// Go on with new ones
    #[arg(long, short)]
    pub(crate) follow: bool,
}
