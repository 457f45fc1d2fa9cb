//! What is said of the way to an app: domains, certificates, zones and who may read the routes.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

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
    /// Certificates are ordered by this resolver of the Traefiks that serve the zone, and not by the control plane; none
    /// for the control plane again
    #[arg(long, value_name = "NAME", conflicts_with_all = ["worker", "port"])]
    pub(crate) resolver: Option<String>,
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
