//! One certificate by ACME (RFC 8555): account, order, challenges where the CA looks for them, certificate.

mod client;
mod failure;

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error,
    ExternalAccountKey, Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use protocol::job::{CertificateOrder, ChallengeKind, ChallengeRequest, ExternalAccount, Issued};

use client::Pause;
pub use failure::Refusal;
pub(crate) use failure::failure;
use failure::{Trouble, explain};

/// For a whole order; one by DNS waits for the zone's name servers besides.
const LIMIT: Duration = Duration::from_secs(90);
const DNS_LIMIT: Duration = Duration::from_mins(6);
/// How often an order is begun whose nonces the CA does not know, as one with several front ends out of
/// step does (RFC 8555 §6.5). The library repeats each request twice before.
const TRIES: usize = 3;
/// For the CA's check of the challenge, and again for the certificate.
const POLL: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(45));

/// Who is told about an order, and who puts its challenge where the CA looks.
pub trait Desk: Send {
    /// One line of the order's log.
    fn say(&mut self, text: String) -> impl Future<Output = ()> + Send;

    /// Keeps the credentials of a new account, which outlives its first order.
    fn keep(&mut self, account: String) -> impl Future<Output = ()> + Send;

    /// Returns once the CA finds the challenge wherever it looks.
    fn publish(&mut self, challenge: &ChallengeRequest) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Gets the certificate that `order` names, within its limit.
pub async fn obtain(order: &CertificateOrder, desk: &mut impl Desk) -> Result<Issued, Refusal> {
    let limit = if order.challenge == ChallengeKind::Dns01 { DNS_LIMIT } else { LIMIT };
    let pause = Pause::default();
    let trouble = match tokio::time::timeout(limit, tries(order, &pause, desk)).await {
        Ok(Ok(issued)) => return Ok(issued),
        Ok(Err(trouble)) => trouble,
        Err(_) => Trouble::TooLong,
    };
    Err(Refusal { failure: explain(&trouble, order), until: pause.end().filter(|_| trouble.is_a_limit()) })
}

async fn tries(order: &CertificateOrder, pause: &Pause, desk: &mut impl Desk) -> Result<Issued, Trouble> {
    for _ in 1..TRIES {
        match steps(order, pause, desk).await {
            Err(Trouble::Acme(Error::Api(problem))) if failure::is_bad_nonce(&problem) => {
                desk.say("The CA does not know the nonces it gave out: beginning again.".to_owned()).await;
            }
            other => return other,
        }
    }
    steps(order, pause, desk).await
}

async fn steps(order: &CertificateOrder, pause: &Pause, desk: &mut impl Desk) -> Result<Issued, Trouble> {
    let (account, mut credentials) = account(order, pause, desk).await?;
    let names: Vec<Identifier> = order.all_names().iter().cloned().map(Identifier::Dns).collect();
    desk.say(format!("Ordering a certificate for {} at {}.", order.all_names().join(", "), order.directory))
        .await;
    let mut ordered = match place(&account, &names, order.replaces.as_deref()).await {
        // Forgotten, or deactivated (RFC 8555 section 7.3.6).
        Err(Error::Api(problem)) if failure::is_lost_account(&problem) => {
            desk.say("The CA does not know this account any more: making a new one.".to_owned()).await;
            let (account, new) = create_account(order, pause, desk).await?;
            credentials = Some(new);
            place(&account, &names, None).await?
        }
        other => other?,
    };
    answer_challenges(&mut ordered, order.challenge, desk).await?;
    wait_for_check(&mut ordered).await?;
    desk.say("The CA has checked the name: fetching the certificate.".to_owned()).await;
    let key_pem = ordered.finalize().await?;
    let chain_pem = ordered.poll_certificate(&POLL).await?;
    desk.say("The certificate is there.".to_owned()).await;
    Ok(Issued { chain_pem, key_pem, account: credentials })
}

/// The order, as a replacement of the certificate that the CA calls `replaces` unless it does not want to know.
async fn place(account: &Account, names: &[Identifier], replaces: Option<&str>) -> Result<Order, Error> {
    if let Some((authority, serial)) = replaces.and_then(|replaces| replaces.split_once('.')) {
        let replaced =
            CertificateIdentifier { authority_key_identifier: authority.into(), serial: serial.into() };
        match account.new_order(&NewOrder::new(names).replaces(replaced)).await {
            Err(Error::Unsupported(_)) => {}
            Err(Error::Api(problem)) if failure::is_about_the_replaced(&problem) => {}
            other => return other,
        }
    }
    account.new_order(&NewOrder::new(names)).await
}

/// The account of the order, and its credentials if it is new.
async fn account(
    order: &CertificateOrder,
    pause: &Pause,
    desk: &mut impl Desk,
) -> Result<(Account, Option<String>), Trouble> {
    let of_this_ca =
        |known: &&String| directory_of(known).is_none_or(|directory| directory == order.directory);
    let Some(known) = order.account.as_ref().filter(of_this_ca) else {
        desk.say(format!("Making an account at {}.", order.directory)).await;
        let (account, credentials) = create_account(order, pause, desk).await?;
        return Ok((account, Some(credentials)));
    };
    let credentials: AccountCredentials = serde_json::from_str(known)
        .map_err(|_| Trouble::Setup("the stored ACME account is damaged".to_owned()))?;
    let builder = client::builder(order.root_pem.as_deref(), pause)?;
    Ok((builder.from_credentials(credentials).await?, None))
}

/// The directory that stored credentials belong to; another CA knows nothing of them.
fn directory_of(credentials: &str) -> Option<String> {
    let credentials: serde_json::Value = serde_json::from_str(credentials).ok()?;
    Some(credentials.get("directory")?.as_str()?.to_owned())
}

async fn create_account(
    order: &CertificateOrder,
    pause: &Pause,
    desk: &mut impl Desk,
) -> Result<(Account, String), Trouble> {
    let contact: Vec<&str> = order.contact.as_deref().into_iter().collect();
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let builder = client::builder(order.root_pem.as_deref(), pause)?;
    let binding = order.binding.as_ref().map(binding).transpose()?;
    let (account, credentials) = builder.create(&new, order.directory.clone(), binding.as_ref()).await?;
    let credentials =
        serde_json::to_string(&credentials).map_err(|error| Trouble::Setup(error.to_string()))?;
    desk.keep(credentials.clone()).await;
    Ok((account, credentials))
}

fn binding(external: &ExternalAccount) -> Result<ExternalAccountKey, Trouble> {
    let key = BASE64_URL_SAFE_NO_PAD
        .decode(external.hmac_key.trim_end_matches('='))
        .map_err(|_| Trouble::Setup("`acme.eab_hmac_key` is not base64url".to_owned()))?;
    Ok(ExternalAccountKey::new(external.key_id.clone(), &key))
}

async fn answer_challenges(
    ordered: &mut Order,
    kind: ChallengeKind,
    desk: &mut impl Desk,
) -> Result<(), Trouble> {
    let mut authorizations = ordered.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        match authorization.status {
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Valid => continue,
            other => return Err(Trouble::Setup(format!("the CA's authorization is {other:?}"))),
        }
        let Identifier::Dns(host) = authorization.identifier().identifier.clone() else {
            return Err(Trouble::Setup("the CA wants to check something that is no name".to_owned()));
        };
        let mut challenge = authorization.challenge(acme_kind(kind)).ok_or(Trouble::NoChallenge(kind))?;
        let request = ChallengeRequest {
            kind,
            host: Some(host.clone()),
            token: challenge.token.clone(),
            key_authorization: challenge.key_authorization().as_str().to_owned(),
        };
        let (before, after) = match kind {
            ChallengeKind::Dns01 => ("into the DNS", "Every name server of the zone answers it"),
            _ => ("on every proxy", "Every proxy answers it"),
        };
        desk.say(format!("Putting the CA's challenge ({kind}) for {host} {before}.")).await;
        desk.publish(&request).await.map_err(Trouble::Publish)?;
        desk.say(format!("{after}: asking the CA to check.")).await;
        challenge.set_ready().await?;
    }
    Ok(())
}

fn acme_kind(kind: ChallengeKind) -> ChallengeType {
    match kind {
        ChallengeKind::Http01 => ChallengeType::Http01,
        ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        ChallengeKind::Dns01 => ChallengeType::Dns01,
    }
}

async fn wait_for_check(ordered: &mut Order) -> Result<(), Trouble> {
    let refused = match ordered.poll_ready(&POLL).await {
        Ok(OrderStatus::Ready) => return Ok(()),
        Ok(status) => Trouble::Setup(format!("the CA's order is {status:?}")),
        Err(error) => Trouble::from(error),
    };
    // The order says that it failed; why, its challenges say.
    let mut authorizations = ordered.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let state = authorization.refresh().await?;
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.clone()) {
            return Err(Trouble::Acme(Error::Api(problem)));
        }
    }
    Err(refused)
}
