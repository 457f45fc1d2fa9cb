//! What `standalone` is told on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use ingress::Options;
use ipnet::IpNet;

use crate::config::{Limits, everybody};
use crate::public::{DRAIN_LONGEST_S, DRAIN_S};

/// What `standalone` is told on the command line. Call [`verify`](Self::verify) before anything else is done with it.
#[derive(Debug, Clone, Args)]
pub struct Standalone {
    /// The table: JSON as in docs/proxy-standalone.md. Taken again whenever it changes, and at SIGHUP.
    #[arg(long, value_name = "FILE")]
    pub routes: PathBuf,
    /// Address and port of plain HTTP, for example 0.0.0.0:80.
    #[arg(long, value_name = "ADDRESS", required_unless_present_any = ["https", "check"])]
    pub http: Option<SocketAddr>,
    /// Address and port of HTTPS, for example 0.0.0.0:443.
    #[arg(long, value_name = "ADDRESS")]
    pub https: Option<SocketAddr>,
    /// Address and port of /health and /metrics; none when absent.
    #[arg(long, value_name = "ADDRESS")]
    pub health: Option<SocketAddr>,
    /// File to which what was served is appended, every 10 seconds a line of JSON for each app; none when absent.
    #[arg(long, value_name = "FILE")]
    pub traffic: Option<PathBuf>,
    /// Seconds after SIGTERM in which new connections are still served, while /health says `draining`.
    #[arg(long, value_name = "SECONDS", default_value_t = DRAIN_S)]
    pub drain_s: u16,
    /// A network of load balancers whose connections begin with a header of the PROXY protocol, for example 10.0.0.0/8.
    /// May be repeated.
    #[arg(long, value_name = "NETWORK")]
    pub proxy_protocol: Vec<IpNet>,
    /// Read and check the flags and the table, say what is wrong with them, and end.
    #[arg(long)]
    pub check: bool,
    #[command(flatten)]
    pub limits: Limits,
}

impl Standalone {
    /// Says which flag has a value that cannot be used, as the same settings of the configuration file would.
    pub fn verify(&self) -> anyhow::Result<()> {
        if self.drain_s > DRAIN_LONGEST_S {
            bail!("`--drain-s` must be at most {DRAIN_LONGEST_S}, not {}", self.drain_s);
        }
        if let Some(problem) = self.proxy_protocol.iter().find_map(everybody) {
            bail!("`--proxy-protocol` {problem}");
        }
        if let Some((key, problem)) = self.limits.wrong() {
            bail!("`--{}` {problem}", key.replace('_', "-"));
        }
        Ok(())
    }

    pub(super) fn options(&self) -> Options {
        Options {
            https_port: self.https.map_or(443, |address| address.port()),
            limits: (&self.limits).into(),
            proxy_protocol: self.proxy_protocol.clone(),
            traffic: self.traffic.is_some(),
            asks_anywhere: true,
            ..Options::default()
        }
    }

    pub(super) fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_s.into())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        flags: Standalone,
    }

    fn parse(flags: &[&str]) -> Result<Standalone, String> {
        let always = ["proxy", "--routes", "r.json", "--http", "127.0.0.1:80"];
        let flags = Cli::try_parse_from(always.iter().chain(flags)).map_err(|error| error.to_string())?.flags;
        flags.verify().map_err(|error| error.to_string())?;
        Ok(flags)
    }

    #[test]
    fn without_flags_it_is_a_proxy_with_the_defaults_of_the_configuration() {
        let flags = parse(&[]).expect("good");
        assert_eq!(flags.limits, Limits::default());
        assert_eq!(flags.options().limits, ingress::Limits::default());
        assert_eq!((flags.drain(), flags.options().proxy_protocol), (Duration::from_secs(1), Vec::new()));
    }

    #[test]
    fn every_setting_of_the_configuration_has_its_flag() {
        let networks = ["--proxy-protocol", "10.0.0.0/8", "--proxy-protocol", "2001:db8::/48"];
        assert_eq!(parse(&networks).expect("good").options().proxy_protocol.len(), 2);
        let limits: Limits = serde_json::from_value(serde_json::json!({
            "header_bytes": 10000, "headers": 11, "connections": 12, "connections_per_client": 3,
            "head_timeout_s": 14, "upload_bytes_per_s": 0, "download_stall_s": 15, "http2_streams": 16,
        }))
        .expect("limits");
        let flags = "--header-bytes 10000 --headers 11 --connections 12 --connections-per-client 3 --head-timeout-s 14 \
                     --upload-bytes-per-s 0 --download-stall-s 15 --http2-streams 16";
        assert_eq!(parse(&flags.split(' ').collect::<Vec<_>>()).expect("good").limits, limits);
    }

    #[test]
    fn a_wrong_value_is_told_with_its_flag_and_what_it_may_be() {
        for (flags, parts) in [
            ("--drain-s 601", &["`--drain-s`", "at most 600"][..]),
            ("--drain-s soon", &["--drain-s", "soon"]),
            ("--proxy-protocol 0.0.0.0/0", &["`--proxy-protocol`", "load balancers"]),
            ("--proxy-protocol 10.0.0.1/33", &["--proxy-protocol", "10.0.0.1/33"]),
            ("--headers 9", &["`--headers`", "10 to 10000, not 9"]),
            ("--header-bytes 100", &["`--header-bytes`", "8192"]),
            ("--connections 10", &["`--connections-per-client`", "1 to 10, not 1024"]),
            ("--head-timeout-s 0", &["`--head-timeout-s`"]),
        ] {
            let error = parse(&flags.split(' ').collect::<Vec<_>>()).expect_err(flags);
            assert!(parts.iter().all(|part| error.contains(part)), "{flags}: {error}");
        }
    }
}
