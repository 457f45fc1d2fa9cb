//! Takes images out of registries, by the interface that all of them have (OCI distribution). Podman has no word for it.

use anyhow::{Context as _, bail, ensure};
use protocol::job::RegistryLogin;
use reqwest::header::{ACCEPT, WWW_AUTHENTICATE};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;

use crate::places::Places;
use crate::podman::Podman;

/// Of a manifest or an answer in JSON.
const MAX_BYTES: usize = 4 * 1024 * 1024;
const MANIFESTS: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// Speaks to registries. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    podman: Podman,
    places: Places,
}

/// What proves who asks.
enum Proof<'a> {
    None,
    Login(&'a RegistryLogin),
    Token(String),
}

#[derive(Debug, Deserialize)]
struct Manifest {
    config: Described,
}

#[derive(Debug, Deserialize)]
struct Described {
    digest: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Token {
    token: String,
    access_token: String,
}

impl Client {
    pub(crate) fn new(podman: Podman, places: Places) -> anyhow::Result<Self> {
        let http = daemon::http::client(&daemon::http::ClientOptions::default())?;
        Ok(Self { http, podman, places })
    }

    /// Removes what `reference` names, if that is still the image. One that is not there any more is no failure.
    pub(crate) async fn remove(
        &self,
        reference: &str,
        image: &str,
        login: &RegistryLogin,
    ) -> anyhow::Result<()> {
        let (repository, tag) = parts(reference).context("this is not a name in a registry")?;
        let scheme = if self.podman.is_insecure(&login.host).await? { "http" } else { "https" };
        let host = if login.host == "docker.io" { "registry-1.docker.io" } else { &login.host };
        let manifests = format!("{scheme}://{host}/v2/{repository}/manifests");
        let found = self.ask(Method::GET, &format!("{manifests}/{tag}"), &repository, login).await?;
        if found.status() == StatusCode::NOT_FOUND {
            return Ok(());
        }
        ensure!(found.status().is_success(), "{}", refusal(found).await);
        let digest = found.headers().get("docker-content-digest").and_then(|digest| digest.to_str().ok());
        let digest = digest.context("the registry does not say the manifest's digest")?.to_owned();
        let manifest: Manifest = serde_json::from_slice(&body(found).await?).context("an odd manifest")?;
        if manifest.config.digest != image {
            return Ok(());
        }
        let answer = self.ask(Method::DELETE, &format!("{manifests}/{digest}"), &repository, login).await?;
        match answer.status() {
            status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            StatusCode::METHOD_NOT_ALLOWED => {
                bail!(
                    "the registry does not let images be removed: allow it there, or remove {reference} there by hand"
                )
            }
            _ => bail!(refusal(answer).await),
        }
    }

    /// Asked first without proof: the registry says which it wants.
    async fn ask(
        &self,
        method: Method,
        url: &str,
        repository: &str,
        login: &RegistryLogin,
    ) -> anyhow::Result<Response> {
        let answer = self.send(&method, url, Proof::None).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let challenge = answer.headers().get(WWW_AUTHENTICATE).and_then(|text| text.to_str().ok());
        let challenge = challenge.context("the registry does not say how it is logged in to")?.to_owned();
        let proof = match challenge.split_once(' ') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => {
                Proof::Token(self.token(rest, repository, login).await?)
            }
            _ => Proof::Login(login),
        };
        self.send(&method, url, proof).await
    }

    async fn send(&self, method: &Method, url: &str, proof: Proof<'_>) -> anyhow::Result<Response> {
        let request = self.http.request(method.clone(), url).header(ACCEPT, MANIFESTS);
        let request = match proof {
            Proof::None => request,
            Proof::Login(login) => request.basic_auth(&login.username, Some(&login.password)),
            Proof::Token(token) => request.bearer_auth(token),
        };
        sent(request).await
    }

    /// From the place that the registry names, over TLS only.
    async fn token(
        &self,
        challenge: &str,
        repository: &str,
        login: &RegistryLogin,
    ) -> anyhow::Result<String> {
        let realm = parameter(challenge, "realm").context("the registry names no place for tokens")?;
        let mut url = url::Url::parse(realm).context("the registry's place for tokens is no address")?;
        ensure!(
            url.scheme() == "https",
            "the registry wants the password sent without TLS to {}",
            url.authority()
        );
        let place =
            format!("{}:{}/", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(443));
        self.places.check(&place).await.map_err(|refused| anyhow::anyhow!(refused.message))?;
        let scope = format!("repository:{repository}:pull,delete");
        url.query_pairs_mut().append_pair("scope", &scope);
        if let Some(service) = parameter(challenge, "service") {
            url.query_pairs_mut().append_pair("service", service);
        }
        let request = self.http.get(url).basic_auth(&login.username, Some(&login.password));
        let answer = sent(request).await?;
        ensure!(answer.status().is_success(), "{}", refusal(answer).await);
        let token: Token = serde_json::from_slice(&body(answer).await?).context("an odd token")?;
        Ok(if token.token.is_empty() { token.access_token } else { token.token })
    }
}

async fn sent(request: RequestBuilder) -> anyhow::Result<Response> {
    Ok(request.send().await.map_err(reqwest::Error::without_url)?)
}

async fn body(mut answer: Response) -> anyhow::Result<Vec<u8>> {
    let mut whole = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
        whole.extend_from_slice(&part);
        ensure!(whole.len() <= MAX_BYTES, "the registry's answer is too long");
    }
    Ok(whole)
}

async fn refusal(answer: Response) -> String {
    let status = answer.status();
    let said = body(answer).await.unwrap_or_default();
    let said: String = String::from_utf8_lossy(&said).chars().take(200).collect();
    format!("the registry answered {status}: {}", said.trim())
}

/// Repository and tag of `HOST/REPOSITORY:TAG`.
fn parts(reference: &str) -> Option<(String, String)> {
    let (_, path) = reference.split_once('/')?;
    let (repository, tag) = path.rsplit_once(':')?;
    Some((repository.to_owned(), tag.to_owned()))
}

/// `value` of `name="value"` in a challenge.
fn parameter<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let begin = format!("{name}=\"");
    let (_, rest) = challenge.split_once(&begin)?;
    rest.split_once('"').map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_repository_and_a_tag() {
        let parts = parts("r.example.com:5000/team/hello:v3").expect("parts");
        assert_eq!(parts, ("team/hello".to_owned(), "v3".to_owned()));
        assert_eq!(super::parts("hello"), None);
    }

    #[test]
    fn a_challenge_names_where_tokens_are() {
        let challenge = r#"realm="https://auth.example.com/token",service="registry.example.com""#;
        assert_eq!(parameter(challenge, "realm"), Some("https://auth.example.com/token"));
        assert_eq!(parameter(challenge, "service"), Some("registry.example.com"));
        assert_eq!(parameter(challenge, "scope"), None);
    }
}
