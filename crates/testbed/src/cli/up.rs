//! `up` and `once`: a cluster that lives as long as its command.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use testbed::cluster::{Cluster, Options, PROGRAM};
use testbed::forward::Forward;
use testbed::session::Session;
use testbed::{preflight, topology};

use super::{Places, hello};

#[derive(Debug, Args)]
pub(crate) struct Ports {
    /// Port of 127.0.0.1 for the dashboard.
    #[arg(long, default_value_t = 8082)]
    port: u16,
    /// Port of 127.0.0.1 for the proxy's HTTPS.
    #[arg(long, default_value_t = 8443)]
    https_port: u16,
    /// An app to deploy first; `none` for none.
    #[arg(long, default_value = "examples/hello")]
    app: String,
}

/// Boots, tells where everything is, waits for Ctrl-C, removes everything.
pub(crate) async fn up(places: &Places, ports: Ports) -> Result<ExitCode> {
    preflight::check_machine()?;
    let session = Session::begin(&places.state, places.options()?)?;
    let work = async {
        preflight::check_port(ports.port, "--port")?;
        preflight::check_port(ports.https_port, "--https-port")?;
        let cluster = Cluster::boot(&session.options).await?;
        let dashboard = forward_dashboard(&cluster, ports.port).await?;
        let https = forward_https(&cluster, ports.https_port).await?;
        if ports.app != "none" {
            let deploy = hello::deploy(&cluster, dashboard.port, Path::new(&ports.app));
            session.options.progress.step(&format!("{} over HTTPS", ports.app), deploy).await?;
        }
        tell(places, &cluster, &dashboard, &https).await?;
        std::future::pending::<Result<()>>().await
    };
    // Ctrl-C is the ordinary end.
    session.run(work).await.map(|_| ExitCode::SUCCESS)
}

/// Boots, deploys, measures, removes everything. Standard output holds one line of JSON.
#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(crate) async fn once(places: &Places, app: &Path) -> Result<ExitCode> {
    preflight::check_machine()?;
    let session = Session::begin(&places.state, places.options()?)?;
    let work = async {
        let (boot_s, served) = first_app(&session.options, app).await?;
        println!("{}", served.json(boot_s));
        Ok(())
    };
    ended(session.run(work).await?)
}

/// Runs `command` beside a cluster and ends as it ends.
pub(crate) async fn with(places: &Places, untouched: bool, command: &[String]) -> Result<ExitCode> {
    preflight::check_machine()?;
    let mut session = Session::begin(&places.state, places.options()?)?;
    session.options.untouched = untouched;
    let work = async {
        let cluster = Cluster::boot(&session.options).await?;
        let dashboard = forward_dashboard(&cluster, 0).await?;
        let https = forward_https(&cluster, 0).await?;
        let root = cluster.state().join("acme-root.pem");
        fs::write(&root, cluster.acme_root().await?)?;
        let (program, arguments) = command.split_first().context("no command")?;
        let mut child = tokio::process::Command::new(program);
        child.args(arguments).kill_on_drop(true);
        child.env("WH_URL", format!("http://127.0.0.1:{}", dashboard.port));
        child.env("WH_HTTPS_PORT", https.port.to_string()).env("WH_ACME_ROOT", root);
        // The command may run in another folder.
        let state = std::path::absolute(&places.state)?;
        child.env("WH_TESTBED", cluster.programs().join(PROGRAM)).env("WH_TESTBED_STATE", &state);
        match cluster.login() {
            Ok(login) => child
                .env("WH_TOKEN", &login.token)
                .env("WH_EMAIL", &login.email)
                .env("WH_PASSWORD", &login.password),
            Err(_) => child.env("WH_SETUP_CODE", cluster.setup_code()?),
        };
        let status = child.status().await.with_context(|| format!("cannot run {program}"))?;
        ensure!(status.success(), "{} failed: {status}", command.join(" "));
        Ok(())
    };
    ended(session.run(work).await?)
}

/// A command that was stopped before its end did not succeed.
pub(crate) fn ended(end: Option<()>) -> Result<ExitCode> {
    end.map(|()| ExitCode::SUCCESS).context("stopped by a signal")
}

pub(super) async fn forward_dashboard(cluster: &Cluster, port: u16) -> Result<Forward> {
    Forward::open(port, cluster.host("cp")?, topology::DASHBOARD).await
}

async fn forward_https(cluster: &Cluster, port: u16) -> Result<Forward> {
    let proxy = SocketAddr::new(IpAddr::V4(topology::PROXY.public), 443);
    Forward::open(port, cluster.host("proxy")?, proxy).await
}

/// A fresh cluster and its first app: seconds to boot, and what was served.
pub(crate) async fn first_app(options: &Options, app: &Path) -> Result<(f64, hello::Served)> {
    let start = Instant::now();
    let cluster = Cluster::boot(options).await?;
    let boot_s = start.elapsed().as_secs_f64();
    let dashboard = forward_dashboard(&cluster, 0).await?;
    let deploy = hello::deploy(&cluster, dashboard.port, app);
    let served = options.progress.step(&format!("{} over HTTPS", app.display()), deploy).await?;
    Ok((boot_s, served))
}

#[expect(clippy::print_stderr, reason = "tells the person where everything is")]
async fn tell(places: &Places, cluster: &Cluster, dashboard: &Forward, https: &Forward) -> Result<()> {
    let (url, login) = (format!("http://127.0.0.1:{}", dashboard.port), cluster.login()?);
    let root = cluster.state().join("acme-root.pem");
    fs::write(&root, cluster.acme_root().await?)?;
    let environment = cluster.state().join("env");
    fs::write(&environment, format!("export WH_URL={url} WH_TOKEN={}\n", login.token))?;
    let programs = cluster.programs().display().to_string();
    let mut text = String::new();
    writeln!(text, "\n  Dashboard  {url}\n  Login      {}  {}\n\n  Try:", login.email, login.password)?;
    writeln!(
        text,
        "    curl --cacert {} --connect-to ::127.0.0.1:{} https://hello.{}/",
        root.display(),
        https.port,
        topology::ZONE
    )?;
    writeln!(text, "    . {} && (cd examples/hello && {programs}/wh deploy)", environment.display())?;
    writeln!(
        text,
        "    {programs}/wh-testbed --state {} kill w1    (power-on w1 brings it back)",
        places.state.display()
    )?;
    eprintln!("{text}\n  Ctrl-C removes everything.");
    Ok(())
}
