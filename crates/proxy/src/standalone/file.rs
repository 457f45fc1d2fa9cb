//! The table as a person writes it: a [`ProxySpec`] in which ids may be left out and certificates may be files.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use protocol::ids::InstanceId;
use protocol::spec::{self, ProxySpec, RouteOptions};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// What `wisehosting-proxy standalone --routes FILE` reads.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(super) struct Table {
    /// Where an editor finds this schema; the proxy does not look at it.
    #[serde(rename = "$schema", default)]
    _schema: Option<String>,
    #[serde(default)]
    routes: Vec<Route>,
    #[serde(default)]
    certificates: Vec<Certificate>,
    /// ACME HTTP-01 answers.
    #[serde(default)]
    challenges: Vec<HttpChallenge>,
    /// ACME TLS-ALPN-01 answers.
    #[serde(default)]
    alpn_challenges: Vec<AlpnChallenge>,
}

/// Hostnames and path to upstreams.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
struct Route {
    /// Unique in the table; the first host and the path when absent.
    id: Option<String>,
    /// For error pages, logs and metrics; the first host when absent.
    app: Option<String>,
    /// Lower case, no trailing dot. `*.` before a name stands for exactly one label; a name of its own wins over it.
    hosts: Vec<String>,
    /// Prefix of the path. The longest one that fits gets the request.
    #[serde(default = "everything")]
    #[cfg_attr(test, schema(default = everything))]
    path: String,
    upstreams: Vec<Upstream>,
    /// Why there are no upstreams, for the page that visitors see: one of the wire's words.
    #[serde(default)]
    #[cfg_attr(test, schema(value_type = Option<String>))]
    unavailable: Option<spec::Unavailable>,
    /// Answer plain HTTP with a redirect to HTTPS.
    #[serde(default)]
    https_only: bool,
    #[serde(default)]
    options: RouteOptions,
}

/// Where requests go.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
struct Upstream {
    /// IP address and port: `10.0.0.5:3000`, `[fd00::5]:3000`.
    #[cfg_attr(test, schema(value_type = String))]
    address: SocketAddr,
    /// Share of the requests, relative to the other upstreams'.
    #[serde(default = "one")]
    #[cfg_attr(test, schema(default = one))]
    weight: u16,
    /// A UUID by which sticky sessions know it; made of the address when absent.
    #[cfg_attr(test, schema(value_type = Option<String>))]
    instance: Option<InstanceId>,
}

/// A certificate with its key: in files, relative to the table's folder, or written out as PEM.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
struct Certificate {
    hosts: Vec<String>,
    /// Leaf first, PEM.
    #[cfg_attr(test, schema(value_type = Option<String>))]
    chain_file: Option<PathBuf>,
    #[cfg_attr(test, schema(value_type = Option<String>))]
    key_file: Option<PathBuf>,
    /// Instead of `chain_file`.
    chain_pem: Option<String>,
    /// Instead of `key_file`.
    key_pem: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
struct HttpChallenge {
    host: String,
    token: String,
    key_authorization: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
struct AlpnChallenge {
    host: String,
    /// SHA-256 of the key authorization, hexadecimal.
    digest: String,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

fn everything() -> String {
    "/".to_owned()
}

fn one() -> u16 {
    1
}

/// A table, and the files that it was made of: the table's own first.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) files: Vec<PathBuf>,
    pub(super) spec: anyhow::Result<ProxySpec>,
}

/// Reads the table in `path` and the files that it names. The files are known also when one of them is bad, so that
/// mending it is noticed.
pub(super) fn read(path: &Path) -> Read {
    let mut files = vec![path.to_owned()];
    let spec = parse(path).and_then(|table| {
        let folder = path.parent().unwrap_or(Path::new(""));
        for certificate in &table.certificates {
            let named = [&certificate.chain_file, &certificate.key_file].into_iter().flatten();
            files.extend(named.map(|file| folder.join(file)));
        }
        table.into_spec(folder)
    });
    Read { files, spec }
}

fn parse(path: &Path) -> anyhow::Result<Table> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut json = serde_json::Deserializer::from_slice(&text);
    let table = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| anyhow::anyhow!("`{}`: {}", error.path(), error.inner()))?;
    json.end().context("after the table")?;
    Ok(table)
}

impl Table {
    fn into_spec(self, folder: &Path) -> anyhow::Result<ProxySpec> {
        let mut spec = ProxySpec::default();
        let mut ids = std::collections::HashSet::new();
        for (at, route) in self.routes.into_iter().enumerate() {
            let route = route.into_wire().with_context(|| format!("`routes[{at}]`"))?;
            ensure!(ids.insert(route.id.clone()), "`routes[{at}].id` `{}` is another route's, too", route.id);
            spec.routes.push(route.into());
        }
        for (at, certificate) in self.certificates.into_iter().enumerate() {
            let key = format!("certificates[{at}]");
            let certificate = certificate.into_wire(folder).with_context(|| format!("`{key}`"))?;
            spec.certificates.push(certificate.into());
        }
        spec.challenges = self
            .challenges
            .into_iter()
            .map(|HttpChallenge { host, token, key_authorization }| spec::HttpChallenge {
                host,
                token,
                key_authorization,
            })
            .collect();
        spec.alpn_challenges = self
            .alpn_challenges
            .into_iter()
            .map(|AlpnChallenge { host, digest }| spec::AlpnChallenge { host, digest })
            .collect();
        Ok(spec)
    }
}

impl Route {
    fn into_wire(self) -> anyhow::Result<spec::Route> {
        let Some(first) = self.hosts.first() else { bail!("`hosts` is empty: name at least one") };
        let upstreams = self.upstreams.into_iter().map(|upstream| spec::Upstream {
            instance: upstream.instance.unwrap_or_else(|| instance_of(upstream.address)),
            address: upstream.address,
            weight: upstream.weight,
        });
        Ok(spec::Route {
            id: self.id.unwrap_or_else(|| format!("{first}{}", self.path)),
            app: self.app.unwrap_or_else(|| first.clone()),
            upstreams: upstreams.collect(),
            hosts: self.hosts,
            path: self.path,
            unavailable: self.unavailable,
            https_only: self.https_only,
            options: Box::new(self.options),
        })
    }
}

/// The same for an address in every version of the table and on every proxy.
fn instance_of(address: SocketAddr) -> InstanceId {
    let digest = hex::encode(&Sha256::digest(address.to_string())[..16]);
    digest.parse().expect("32 hexadecimal digits are a UUID")
}

impl Certificate {
    fn into_wire(self, folder: &Path) -> anyhow::Result<spec::Certificate> {
        ensure!(!self.hosts.is_empty(), "`hosts` is empty: name those that it is for");
        Ok(spec::Certificate {
            chain_pem: pem(folder, "chain", self.chain_pem, self.chain_file)?,
            key_pem: pem(folder, "key", self.key_pem, self.key_file)?,
            hosts: self.hosts,
        })
    }
}

fn pem(folder: &Path, what: &str, text: Option<String>, file: Option<PathBuf>) -> anyhow::Result<String> {
    match (text, file) {
        (Some(text), None) => Ok(text),
        (None, Some(file)) => {
            let path = folder.join(file);
            std::fs::read_to_string(&path)
                .with_context(|| format!("`{what}_file`: cannot read {}", path.display()))
        }
        _ => bail!("needs `{what}_file` or `{what}_pem`, and not both"),
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
