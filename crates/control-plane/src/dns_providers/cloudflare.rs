//! Cloudflare's API, version 4: <https://developers.cloudflare.com/api/resources/dns/subresources/records/>.

use std::time::Duration;

use anyhow::{Context, bail};
use daemon::http::ClientOptions;
use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

use super::{Record, TTL};
use crate::http::{Error, Result};

const API: &str = "https://api.cloudflare.com/client/v4";
/// "An identical record already exists."
const IDENTICAL: u32 = 81058;

/// A token that may edit the zone's DNS (`Zone:Read`, `DNS:Edit`).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cloudflare {
    pub token: String,
    /// Where the API is, in tests.
    #[serde(skip)]
    pub(super) api: Option<String>,
}

impl std::fmt::Debug for Cloudflare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cloudflare { … }")
    }
}

/// What every answer is wrapped in.
#[derive(Deserialize)]
struct Answer<T> {
    success: bool,
    #[serde(default)]
    errors: Vec<Problem>,
    result: Option<T>,
}

#[derive(Deserialize)]
struct Problem {
    code: u32,
    message: String,
}

#[derive(Deserialize)]
struct Thing {
    id: String,
}

impl Cloudflare {
    pub(super) fn check(&self) -> Result<()> {
        let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if self.token.len() < 20 || self.token.len() > 200 || !self.token.bytes().all(is_token_byte) {
            return Err(Error::invalid("token", "must be an API token of Cloudflare").hint(
                "Make one with Zone:Read and DNS:Edit for the zone; the global API key does not work",
            ));
        }
        Ok(())
    }

    /// Sets the record beside others of its name.
    pub async fn set(&self, record: &Record) -> anyhow::Result<()> {
        let zone = self.zone(&record.name).await?;
        let body = json!({
            "type": "TXT", "name": record.name, "content": quoted(&record.value), "ttl": TTL,
            "comment": "ACME challenge",
        });
        let request = self.request(Method::POST, &format!("/zones/{zone}/dns_records"), &[])?.json(&body);
        match answer::<Thing>(request).await? {
            Ok(_) => Ok(()),
            Err(problems) if problems.iter().any(|problem| problem.code == IDENTICAL) => Ok(()),
            Err(problems) => bail!("Cloudflare does not set {}: {}", record.name, words(&problems)),
        }
    }

    /// Removes the record, if it is there.
    pub async fn remove(&self, record: &Record) -> anyhow::Result<()> {
        let zone = self.zone(&record.name).await?;
        let query =
            [("type", "TXT"), ("name.exact", &record.name), ("content.exact", &quoted(&record.value))];
        let path = format!("/zones/{zone}/dns_records");
        let found: Vec<Thing> = good(self.request(Method::GET, &path, &query)?).await?;
        for record in found {
            let path = format!("/zones/{zone}/dns_records/{}", record.id);
            good::<Thing>(self.request(Method::DELETE, &path, &[])?).await?;
        }
        Ok(())
    }

    /// The id of the zone that `name` is in: of its parents, the longest that the token may see.
    async fn zone(&self, name: &str) -> anyhow::Result<String> {
        let mut rest = name;
        while let Some((_, parent)) = rest.split_once('.').filter(|(_, parent)| parent.contains('.')) {
            let request = self.request(Method::GET, "/zones", &[("name", parent)])?;
            if let Some(zone) = good::<Vec<Thing>>(request).await?.into_iter().next() {
                return Ok(zone.id);
            }
            rest = parent;
        }
        bail!(
            "the token sees no zone at Cloudflare that {name} is in: it needs Zone:Read and DNS:Edit for it"
        )
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, &str)]) -> anyhow::Result<RequestBuilder> {
        let options = ClientOptions { timeout: Some(Duration::from_secs(10)), ..ClientOptions::default() };
        let mut url = Url::parse(&format!("{}{path}", self.api.as_deref().unwrap_or(API)))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(daemon::http::client(&options)?.request(method, url).bearer_auth(&self.token))
    }
}

/// Cloudflare wants the content of TXT records as in a zone file.
fn quoted(value: &str) -> String {
    format!("\"{value}\"")
}

async fn good<T: DeserializeOwned>(request: RequestBuilder) -> anyhow::Result<T> {
    answer(request).await?.map_err(|problems| anyhow::anyhow!("Cloudflare refuses: {}", words(&problems)))
}

async fn answer<T: DeserializeOwned>(
    request: RequestBuilder,
) -> anyhow::Result<std::result::Result<T, Vec<Problem>>> {
    let response =
        request.send().await.map_err(reqwest::Error::without_url).context("Cloudflare cannot be reached")?;
    let status = response.status();
    let answer: Answer<T> = response
        .json()
        .await
        .map_err(|_| anyhow::anyhow!("Cloudflare's API answers {status} with something unexpected"))?;
    Ok(match answer.result {
        Some(result) if answer.success => Ok(result),
        _ => Err(answer.errors),
    })
}

fn words(problems: &[Problem]) -> String {
    let words: Vec<String> =
        problems.iter().map(|Problem { code, message }| format!("{message} ({code})")).collect();
    if words.is_empty() { "it does not say why".to_owned() } else { words.join("; ") }
}
