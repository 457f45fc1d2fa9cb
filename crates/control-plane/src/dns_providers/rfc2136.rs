//! DNS UPDATE (RFC 2136), signed with TSIG (RFC 8945).

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use daemon::address::is_public;
use hickory_resolver::proto::op::{Message, MessageType, ResponseCode, update_message};
use hickory_resolver::proto::rr::rdata::TXT;
use hickory_resolver::proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_resolver::proto::rr::{Name, RData, RecordSet, RecordType, TSigner};
use serde::{Deserialize, Serialize};

use super::{Record, TTL, wire};
use crate::http::{Error, Result};

/// Seconds by which clocks may differ.
const FUDGE: u16 = 300;

/// A primary name server and the key that it takes updates with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rfc2136 {
    /// Host or address, with `:port` if it is not 53.
    pub server: String,
    pub key_name: String,
    #[serde(default)]
    pub algorithm: Algorithm,
    /// base64, as `tsig-keygen` writes it.
    pub secret: String,
    /// Asked whether they have a record, in place of the zone's name servers: address and port. For zones whose public
    /// servers cannot be reached from here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub check_servers: Vec<SocketAddr>,
}

impl std::fmt::Debug for Rfc2136 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rfc2136").field("server", &self.server).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = TsigAlgorithm)]
pub enum Algorithm {
    #[default]
    HmacSha256,
    HmacSha384,
    HmacSha512,
}

impl Algorithm {
    fn tsig(self) -> TsigAlgorithm {
        match self {
            Self::HmacSha256 => TsigAlgorithm::HmacSha256,
            Self::HmacSha384 => TsigAlgorithm::HmacSha384,
            Self::HmacSha512 => TsigAlgorithm::HmacSha512,
        }
    }
}

/// What is done with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Add,
    Remove,
}

impl Rfc2136 {
    pub(super) fn check(&self) -> Result<()> {
        if self.server.is_empty() || self.server.len() > 253 || self.server.contains(['/', ' ', '@']) {
            return Err(Error::invalid("server", "must be a host or an address, perhaps with a port")
                .hint("For example ns1.example.com or 192.0.2.53:5353"));
        }
        if Name::from_ascii(&self.key_name).is_err() || self.key_name.is_empty() {
            return Err(Error::invalid("key_name", "must be the name of the key on the server"));
        }
        match BASE64_STANDARD.decode(&self.secret) {
            Ok(key) if key.len() >= 16 => Ok(()),
            Ok(_) => Err(Error::invalid("secret", "must have at least 16 bytes")),
            Err(_) => {
                Err(Error::invalid("secret", "must be base64")
                    .hint("`tsig-keygen` and `keymgr -t` write it so"))
            }
        }
    }

    /// Adds or removes `record`; neither minds that it is done already. Only a server of the platform may be in a
    /// private network.
    pub async fn change(&self, record: &Record, change: Change, anywhere: bool) -> anyhow::Result<()> {
        let server = self.address(anywhere).await?;
        let mut name = Name::from_ascii(&record.name)?;
        name.set_fqdn(true);
        let zone = zone_of(server, &name).await?;
        let mut records = RecordSet::with_ttl(name.clone(), RecordType::TXT, TTL);
        records.add_rdata(RData::TXT(TXT::new(vec![record.value.clone()])));
        let mut message = match change {
            Change::Add => update_message::append(records, zone, false, false),
            Change::Remove => update_message::delete_by_rdata(records, zone, false),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let verifier = message.finalize(&self.signer()?, now)?;
        let answer = wire::exchange(server, &message.to_vec()?).await?;
        let said = Message::from_vec(&answer)?;
        refused(self, &said)?;
        let mut verifier = verifier.context("the update was not signed")?;
        verifier.verify(&answer).map_err(|error| {
            anyhow::anyhow!("the answer of {} is not signed with the key: {error}", self.server)
        })?;
        ensure!(
            said.message_type == MessageType::Response && said.id == message.id,
            "another question was answered"
        );
        Ok(())
    }

    fn signer(&self) -> anyhow::Result<TSigner> {
        let key = BASE64_STANDARD.decode(&self.secret).context("the key is not base64")?;
        Ok(TSigner::new(key, self.algorithm.tsig(), Name::from_ascii(&self.key_name)?, FUDGE)?)
    }

    fn host_and_port(&self) -> (&str, u16) {
        let (host, port) = match self.server.rsplit_once(':') {
            // An IPv6 address has colons of its own.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()),
            _ => (self.server.as_str(), None),
        };
        (host.trim_matches(['[', ']']), port.unwrap_or(53))
    }

    async fn address(&self, anywhere: bool) -> anyhow::Result<SocketAddr> {
        let (host, port) = self.host_and_port();
        let found = tokio::net::lookup_host((host, port))
            .await
            .with_context(|| format!("name server {} has no address", self.server))?;
        let found: Vec<SocketAddr> = found.collect();
        let usable = found.iter().find(|address| anywhere || is_public(address.ip()));
        usable.copied().with_context(|| {
            format!(
                "name server {} is in a private network, which only a provider of the platform may be",
                self.server
            )
        })
    }
}

/// The zone that `name` is in, as its server says (RFC 2136 section 3.1.1 wants exactly that one).
async fn zone_of(server: SocketAddr, name: &Name) -> anyhow::Result<Name> {
    let mut asked = name.clone();
    loop {
        let answer = wire::ask(server, &asked, RecordType::SOA).await?;
        let mut told = answer.answers.iter().chain(&answer.authorities);
        let zone = told.find(|told| told.record_type() == RecordType::SOA && told.name.zone_of(name));
        if let Some(zone) = zone {
            return Ok(zone.name.clone());
        }
        // The record of a wildcard domain answers for its challenge's name, and tells of the zone that it leads to.
        let is_alias = answer.answers.iter().any(|record| record.record_type() == RecordType::CNAME);
        ensure!(
            is_alias && asked.num_labels() > 1,
            "{server} is not a name server of {name} ({})",
            answer.response_code
        );
        asked = asked.base_name();
    }
}

fn refused(provider: &Rfc2136, answer: &Message) -> anyhow::Result<()> {
    let Rfc2136 { server, key_name, .. } = provider;
    match answer.response_code {
        ResponseCode::NoError => Ok(()),
        // BADSIG, BADKEY and BADTIME come as NOTAUTH.
        ResponseCode::NotAuth => bail!(
            "{server} does not accept key {key_name} (NOTAUTH): check the key's name, algorithm and secret, and the clocks of both hosts"
        ),
        ResponseCode::Refused => {
            bail!(
                "{server} refuses updates with key {key_name}: allow them for TXT records in the zone (BIND: update-policy)"
            )
        }
        code => bail!("{server} answers {code} to the update"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_or_an_address_with_a_port_or_without() {
        for (text, host, port) in [
            ("ns1.example.com", "ns1.example.com", 53),
            ("192.0.2.53:5353", "192.0.2.53", 5353),
            ("2001:db8::53", "2001:db8::53", 53),
            ("[2001:db8::53]:5353", "2001:db8::53", 5353),
        ] {
            let server = Rfc2136 {
                server: text.to_owned(),
                key_name: "wisehosting".to_owned(),
                algorithm: Algorithm::HmacSha256,
                secret: "MDEyMzQ1Njc4OTAxMjM0NQ==".to_owned(),
                check_servers: Vec::new(),
            };
            assert!(server.check().is_ok());
            assert_eq!(server.host_and_port(), (host, port));
        }
    }

    #[tokio::test]
    async fn a_server_in_a_private_network_is_for_the_platform_alone() {
        let server = Rfc2136 {
            server: "127.0.0.1:1".to_owned(),
            key_name: "k".to_owned(),
            algorithm: Algorithm::HmacSha256,
            secret: String::new(),
            check_servers: Vec::new(),
        };
        let error = server.address(false).await.expect_err("private");
        assert!(error.to_string().contains("private network"), "{error}");
        assert!(server.address(true).await.is_ok());
    }
}
