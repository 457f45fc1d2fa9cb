//! Signing in and out.

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{Shell, environment_token};
use crate::api::types::{NewToken, Session};
use crate::api::{Client, path};
use crate::args::Login;
use crate::context::{self, Context, Store};
use crate::failure::{Exit, Failure, Result};
use crate::ui::prompt;
use crate::ui::table::facts;

/// Gets a token, tries it, and only then writes the context.
pub(crate) async fn login(shell: &Shell, login: Login) -> Result<()> {
    let config = context::path()?;
    let mut store = Store::load(&config)?;
    let url = address(shell, &login, &store)?;
    let ca_file = shell.ca_file()?.or_else(|| known_ca(&store, &url));
    let anonymous = Client::new(&url, None, ca_file.as_deref())?;
    let (token, token_id) = if login.token || (login.email.is_none() && environment_token().is_some()) {
        (given_token()?, None)
    } else {
        let new = make_token(&anonymous, &login).await?;
        (new.token, Some(new.id))
    };
    let client = Client::new(&url, Some(token.clone()), ca_file.as_deref())?;
    let session: Session = client.get("/session").await?;
    let name = shell.global.context.clone().unwrap_or_else(|| url.host_str().unwrap_or("default").to_owned());
    let context = Context {
        url,
        email: Some(session.user.email.clone()),
        organization: Some(session.organization.slug.clone()),
        ca_file,
        token_id,
        token: Some(token),
    };
    let address = context.url.to_string();
    store.contexts.insert(name.clone(), context);
    store.current = Some(name.clone());
    store.save(&config)?;
    if shell.ui.json {
        return crate::ui::json(&json!({ "context": name, "url": address, "session": session }));
    }
    let paint = shell.ui.err_paint();
    shell.ui.done(&format!(
        "signed in to {} as {} {}",
        paint.bold(&name),
        session.user.email,
        paint.dim(&format!("({}, {})", session.organization.slug, session.organization.role))
    ));
    Ok(())
}

/// Argument, environment, the context that is named or current, or a question.
fn address(shell: &Shell, login: &Login, store: &Store) -> Result<url::Url> {
    if let Some(url) = login.url.clone().or_else(|| shell.global.control_plane.clone()) {
        return Ok(url);
    }
    let name = shell.global.context.as_ref().or(store.current.as_ref());
    if let Some(context) = name.and_then(|name| store.contexts.get(name)) {
        return Ok(context.url.clone());
    }
    if !prompt::possible() {
        return Err(Failure::usage("the control plane's address is missing")
            .hint("`wh login https://…`, or set WH_URL"));
    }
    context::parse_url(&prompt::line("Control plane: ")?)
        .map_err(|problem| Failure::usage(format!("the address {problem}")))
}

fn known_ca(store: &Store, url: &url::Url) -> Option<std::path::PathBuf> {
    store.contexts.values().find(|context| context.url == *url).and_then(|context| context.ca_file.clone())
}

fn given_token() -> Result<SecretString> {
    let token = match environment_token() {
        Some(token) => token,
        None if prompt::possible() => prompt::hidden("API token: ")?,
        None => prompt::stdin_value()?,
    };
    // Anything else is not a header value, and the error would hold the token.
    if token.expose_secret().is_empty() || !token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(Failure::new(Exit::Auth, "token_invalid", "this is no API token")
            .hint("a token begins with wht_ and holds no spaces"));
    }
    Ok(token)
}

async fn make_token(client: &Client, login: &Login) -> Result<NewToken> {
    if !login.password_stdin && !prompt::possible() {
        return Err(Failure::usage("there is no terminal to ask for the password on").hint(
            "pipe a token into `wh login URL --token`, set WH_TOKEN, or use `--email ADDRESS --password-stdin`",
        ));
    }
    let email = match &login.email {
        Some(email) => email.clone(),
        None => prompt::line("E-mail: ")?,
    };
    let password = if login.password_stdin { prompt::stdin_value()? } else { prompt::hidden("Password: ")? };
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let body =
        json!({ "name": format!("wh on {host}"), "email": email, "password": password.expose_secret() });
    client.send(Method::POST, "/tokens", &body).await
}

/// Revokes the token if `wh login` made it, and forgets it in any case.
pub(crate) async fn logout(shell: &Shell) -> Result<()> {
    let config = context::path()?;
    let mut store = Store::load(&config)?;
    let name = shell.global.context.clone().or_else(|| store.current.clone());
    let Some(name) = name else {
        return Err(Failure::new(Exit::Auth, "signed_out", "you are not signed in"));
    };
    let context = store.get(&name)?.clone();
    if let Some(kept) = store.contexts.get_mut(&name) {
        kept.token = None;
        kept.token_id = None;
    }
    store.save(&config)?;
    if let (Some(token), Some(id)) = (context.token, context.token_id) {
        let client = Client::new(&context.url, Some(token), shell.ca_file()?.or(context.ca_file).as_deref())?;
        if let Err(failure) = client.delete(&path(&["tokens", &id])).await {
            shell.ui.warn(&format!(
                "signed out here, but the token could not be revoked: {}; revoke it in the dashboard",
                failure.message
            ));
        }
    }
    if shell.ui.json {
        return crate::ui::json(&json!({ "context": name, "signed_in": false }));
    }
    shell.ui.done(&format!("signed out of {name}"));
    Ok(())
}

pub(crate) async fn whoami(shell: &Shell) -> Result<()> {
    let (name, context) = shell.context()?;
    let client = Client::new(&context.url, context.token, context.ca_file.as_deref())?;
    let session: Session = client.get("/session").await?;
    if shell.ui.json {
        return crate::ui::json(&json!({
            "context": name, "url": context.url, "user": session.user, "organization": session.organization,
        }));
    }
    let rows = [
        ("user", session.user.email),
        ("organization", session.organization.slug),
        ("role", session.organization.role),
        ("context", name.unwrap_or_else(|| "from the environment".to_owned())),
        ("control plane", context.url.to_string()),
    ];
    crate::ui::data(&facts(&rows, shell.ui.out_paint()))
}

/// Both versions; the control plane's only if it is in reach.
pub(crate) async fn version(shell: &Shell) -> Result<()> {
    let server = match shell.client() {
        Ok(client) => server_version(&client).await,
        Err(_) => None,
    };
    let own = env!("CARGO_PKG_VERSION");
    if shell.ui.json {
        return crate::ui::json(&json!({ "wh": own, "control_plane": server }));
    }
    let rows = [("wh", own.to_owned()), ("control plane", server.unwrap_or_default())];
    crate::ui::data(&facts(&rows, shell.ui.out_paint()))
}

async fn server_version(client: &Client) -> Option<String> {
    let request = client.request(Method::GET, "/openapi.json").timeout(std::time::Duration::from_secs(5));
    let document: serde_json::Value = client.answer(request).await.ok()?;
    document["info"]["version"].as_str().map(str::to_owned)
}
