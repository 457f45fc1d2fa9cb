//! What is said of control planes, hosts, and what all apps share.

use std::time::Duration;

use clap::{Args, Subcommand};
use url::Url;

use super::traffic::Range;

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
pub(crate) enum NodeCommand {
    /// List nodes
    #[command(alias = "list")]
    Ls,
    /// Let a new host in: prints the line to run on it, and waits until it is online
    Add(AddNode),
    /// Enter a host by hand, for one that does not reach the control plane before it is in the mesh
    Register(RegisterNode),
    /// Show one node and its agents
    Show { name: String },
    /// Ask a node at once whether it is there
    Check { name: String },
    /// When a node went and came back, and why
    History { name: String },
    /// What a node put right by itself, and why
    Corrections { name: String },
    /// Containers on a node that nobody knows: stopped, and removed a week after they were found
    Strays { name: String },
    /// Show how a host is doing and did: processor, memory, disks, network
    Stats {
        name: String,
        /// For how long back
        #[arg(long, value_enum, default_value_t = Range::Hour)]
        range: Range,
    },
    /// List the instances on a node and what they use
    Ps { name: String },
    /// List containers that are not managed, and volumes
    Storage { name: String },
    /// Show the newest lines of an agent's own log
    Logs {
        name: String,
        #[command(flatten)]
        logs: NodeLogs,
    },
    /// Remove images that nothing on a worker needs; shows them first
    Gc {
        name: String,
        /// Only show what would go
        #[arg(long, conflicts_with = "yes")]
        dry_run: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// Show former clean-ups instead
        #[arg(long, conflicts_with_all = ["dry_run", "yes"])]
        history: bool,
    },
    /// Set or remove labels of a node; alone: list
    Label {
        name: String,
        /// KEY=VALUE sets one, KEY- removes it
        #[arg(value_name = "KEY=VALUE")]
        changes: Vec<String>,
    },
    /// Show what workers have to give, and what of it is reserved
    Capacity,
    /// Let a worker take no new instances and builds; what runs on it stays
    Cordon { name: String },
    /// Let a worker take instances and builds again
    Uncordon { name: String },
    /// Cordon a worker and move its instances to others, a few at a time, without a failed request
    Drain {
        name: String,
        /// Show what would move where, and what cannot
        #[arg(long, conflicts_with = "detach")]
        plan: bool,
        /// Do not wait for the end
        #[arg(long)]
        detach: bool,
    },
    /// Set what a worker takes; alone: show
    Settings {
        name: String,
        #[command(flatten)]
        settings: NodeSettings,
    },
    /// Give a node another API key; its connections, jobs and apps go on
    RotateKey {
        name: String,
        /// Do not wait for the end
        #[arg(long)]
        detach: bool,
    },
    /// Refuse a node's keys at once; it comes back only by joining anew
    Revoke {
        name: String,
        /// The node's name once more, instead of being asked
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
    /// Forget a node that holds no instances
    Rm { name: String },
    /// Tokens by which new nodes join
    #[command(subcommand)]
    Token(NodeTokenCommand),
}

#[derive(Debug, Args)]
pub(crate) struct AddNode {
    /// The host's name; any host may use the token without it
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) kind: NodeKind,
    /// How long the token can be used
    #[arg(long, default_value = "1h", value_parser = crate::ui::time::parse, value_name = "TIME")]
    pub(crate) expires: Duration,
    /// Print the token and go
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How long to wait for the node
    #[arg(long, default_value = "15m", value_parser = crate::ui::time::parse, value_name = "TIME", conflicts_with = "no_wait")]
    pub(crate) wait: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct RegisterNode {
    /// As `node.name` in the host's mesh.toml
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) kind: NodeKind,
    /// What is in /var/lib/wisehosting/mesh/public.key of the host
    #[arg(long, value_name = "KEY")]
    pub(crate) public_key: String,
    /// Where others reach its tunnel; none for a host that nobody can dial
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) endpoint: Option<std::net::SocketAddr>,
}

/// What a node is for, and by what people tell it apart.
#[derive(Debug, Args)]
pub(crate) struct NodeKind {
    /// What the node is for; may be repeated [default: worker]
    #[arg(long = "role", value_parser = ["worker", "proxy"])]
    pub(crate) roles: Vec<String>,
    /// Give the node a label; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<String>,
    /// DNS suffix that the host serves
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) zone: Option<String>,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct NodeSettings {
    /// Whether apps run on it
    #[arg(long, value_name = "yes|no", value_parser = yes)]
    pub(crate) apps: Option<bool>,
    /// Whether it builds
    #[arg(long, value_name = "yes|no", value_parser = yes)]
    pub(crate) builds: Option<bool>,
    /// Most instances of all apps on it, or `none`
    #[arg(long, value_name = "NUMBER", value_parser = max_instances)]
    pub(crate) max_instances: Option<MaxInstances>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum MaxInstances {
    Most(u32),
    None,
}

fn yes(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("must be yes or no".to_owned()),
    }
}

fn max_instances(text: &str) -> Result<MaxInstances, String> {
    if text == "none" {
        return Ok(MaxInstances::None);
    }
    let most = text.parse().map_err(|_| "must be a whole number, or `none`".to_owned())?;
    Ok(MaxInstances::Most(most))
}

#[derive(Debug, Subcommand)]
pub(crate) enum MeshCommand {
    /// List the nodes and how many others each reaches
    Show,
    /// Show how one node reaches the others
    Peers { node: String },
    /// Show how long packets take between all nodes, there and back
    Rtt,
    /// Find out what is wrong between the nodes, and what to do
    Doctor {
        /// Only what is about this node
        node: Option<String>,
    },
    /// Give nodes other keys for their tunnels, one after the other; connections go on
    Rotate {
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        nodes: Vec<String>,
        /// All nodes
        #[arg(long)]
        all: bool,
        /// Do not wait for the end
        #[arg(long)]
        detach: bool,
        /// Leave the keys as they are, of nodes that have been asked and have not changed yet
        #[arg(long, conflicts_with_all = ["all", "detach"])]
        cancel: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum FleetCommand {
    /// Print the public keys of all nodes as lines for hosts/fleet.nix
    Pin,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RebalanceCommand {
    /// Take back what has not begun to move: one move, or all
    Cancel {
        /// Id of the move, or the end of it; else all that wait
        id: Option<String>,
    },
}

/// Which lines of an agent's own log.
#[derive(Debug, Args)]
pub(crate) struct NodeLogs {
    /// Of which agent; else of the worker, the proxy or the mesh agent, whichever there is first
    #[arg(long, value_parser = ["worker", "proxy", "mesh"])]
    pub(crate) agent: Option<String>,
    /// The least important level
    #[arg(long, default_value = "info", value_parser = ["error", "warn", "info", "debug", "trace"])]
    pub(crate) level: String,
    /// This many last lines
    #[arg(long, short = 'n', default_value_t = 100, value_name = "LINES", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) tail: u32,
    /// Go on with new lines
    #[arg(long, short)]
    pub(crate) follow: bool,
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
