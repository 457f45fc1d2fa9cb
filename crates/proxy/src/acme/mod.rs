//! One certificate by ACME (RFC 8555) with HTTP-01: account, order, challenge on every proxy, certificate.

mod client;
mod failure;

use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use protocol::job::{CertificateOrder, ChallengeRequest, Failure, Issued};

pub(crate) use failure::failure;
use failure::{Trouble, explain};

/// For a whole order.
const LIMIT: Duration = Duration::from_secs(90);
/// How often an order is begun whose nonces the CA does not know, as one with several front ends out of
/// step does (RFC 8555 §6.5). The library repeats each request twice before.
const TRIES: usize = 3;
/// For the CA's check of the challenge, and again for the certificate.
const POLL: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(45));

/// Who is told about an order, and who puts its challenge where the CA looks.
pub trait Desk: Send {
    /// One line of the order's log.
    fn say(&mut self, text: String) -> impl Future<Output = ()> + Send;

    /// Returns once every proxy answers the challenge.
    fn publish(&mut self, challenge: &ChallengeRequest) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Gets the certificate that `order` names, within 90 s.
pub async fn obtain(order: &CertificateOrder, desk: &mut impl Desk) -> Result<Issued, Failure> {
    match tokio::time::timeout(LIMIT, tries(order, desk)).await {
        Ok(Ok(issued)) => Ok(issued),
        Ok(Err(trouble)) => Err(explain(&trouble, order)),
        Err(_) => Err(explain(&Trouble::TooLong, order)),
    }
}

async fn tries(order: &CertificateOrder, desk: &mut impl Desk) -> Result<Issued, Trouble> {
    for _ in 1..TRIES {
        match steps(order, desk).await {
            Err(Trouble::Acme(instant_acme::Error::Api(problem))) if failure::is_bad_nonce(&problem) => {
                desk.say("The CA does not know the nonces it gave out: beginning again.".to_owned()).await;
            }
            other => return other,
        }
    }
    steps(order, desk).await
}

async fn steps(order: &CertificateOrder, desk: &mut impl Desk) -> Result<Issued, Trouble> {
    let (account, mut credentials) = account(order, desk).await?;
    let names = [Identifier::Dns(order.host.clone())];
    desk.say(format!("Ordering a certificate for {} at {}.", order.host, order.directory)).await;
    let mut ordered = match account.new_order(&NewOrder::new(&names)).await {
        Err(instant_acme::Error::Api(problem)) if failure::is_unknown_account(&problem) => {
            desk.say("The CA does not know this account any more: making a new one.".to_owned()).await;
            let (account, new) = create_account(order).await?;
            credentials = Some(new);
            account.new_order(&NewOrder::new(&names)).await?
        }
        other => other?,
    };
    answer_challenges(&mut ordered, desk).await?;
    wait_for_check(&mut ordered).await?;
    desk.say("The CA has checked the name: fetching the certificate.".to_owned()).await;
    let key_pem = ordered.finalize().await?;
    let chain_pem = ordered.poll_certificate(&POLL).await?;
    desk.say("The certificate is there.".to_owned()).await;
    Ok(Issued { chain_pem, key_pem, account: credentials })
}

/// The account of the order, and its credentials if it is new.
async fn account(
    order: &CertificateOrder,
    desk: &mut impl Desk,
) -> Result<(Account, Option<String>), Trouble> {
    let of_this_ca =
        |known: &&String| directory_of(known).is_none_or(|directory| directory == order.directory);
    let Some(known) = order.account.as_ref().filter(of_this_ca) else {
        desk.say(format!("Making an account at {}.", order.directory)).await;
        return create_account(order).await.map(|(account, credentials)| (account, Some(credentials)));
    };
    let credentials: AccountCredentials = serde_json::from_str(known)
        .map_err(|_| Trouble::Setup("the stored ACME account is damaged".to_owned()))?;
    Ok((client::builder(order.root_pem.as_deref())?.from_credentials(credentials).await?, None))
}

/// The directory that stored credentials belong to; another CA knows nothing of them.
fn directory_of(credentials: &str) -> Option<String> {
    let credentials: serde_json::Value = serde_json::from_str(credentials).ok()?;
    Some(credentials.get("directory")?.as_str()?.to_owned())
}

async fn create_account(order: &CertificateOrder) -> Result<(Account, String), Trouble> {
    let contact: Vec<&str> = order.contact.as_deref().into_iter().collect();
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let builder = client::builder(order.root_pem.as_deref())?;
    let (account, credentials) = builder.create(&new, order.directory.clone(), None).await?;
    let credentials =
        serde_json::to_string(&credentials).map_err(|error| Trouble::Setup(error.to_string()))?;
    Ok((account, credentials))
}

async fn answer_challenges(ordered: &mut Order, desk: &mut impl Desk) -> Result<(), Trouble> {
    let mut authorizations = ordered.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        match authorization.status {
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Valid => continue,
            other => return Err(Trouble::Setup(format!("the CA's authorization is {other:?}"))),
        }
        let mut challenge = authorization.challenge(ChallengeType::Http01).ok_or(Trouble::NoHttpChallenge)?;
        let request = ChallengeRequest {
            token: challenge.token.clone(),
            key_authorization: challenge.key_authorization().as_str().to_owned(),
        };
        desk.say("Putting the CA's challenge on every proxy.".to_owned()).await;
        desk.publish(&request).await.map_err(Trouble::Publish)?;
        desk.say("Every proxy answers the challenge: asking the CA to check.".to_owned()).await;
        challenge.set_ready().await?;
    }
    Ok(())
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
            return Err(Trouble::Acme(instant_acme::Error::Api(problem)));
        }
    }
    Err(refused)
}
