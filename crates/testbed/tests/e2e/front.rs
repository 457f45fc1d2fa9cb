//! The dashboard at its own address: served by the proxy like an app, with a certificate that the proxy ordered.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use testbed::host::{Host, INET};
use testbed::http::{Answer, Request, Server, get};
use testbed::network::INET_ADDRESS;
use testbed::report::until;
use testbed::topology::{BASE_URL, DOMAIN, FRONT, PROXY};

use crate::bed::{Bed, MINUTE};
use crate::runner::tests;

tests![
    the_dashboard_has_its_own_address_and_a_certificate_of_the_authority,
    a_login_through_the_proxy_is_audited_with_the_clients_address,
    long an_upload_and_a_live_log_pass_the_proxy,
    nobody_but_the_proxy_may_use_the_listener_behind_it,
];

const SPOOFED: &str = "192.0.2.66";

async fn the_dashboard_has_its_own_address_and_a_certificate_of_the_authority(bed: Arc<Bed>) -> Result<()> {
    let answer = until("the dashboard over HTTPS", MINUTE, || async {
        let answer = bed.cluster.https(DOMAIN, "/").await?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        Ok(Some(answer))
    })
    .await?;
    ensure!(answer.text().contains("<title>WiseHosting"), "{}", answer.text());
    ensure!(answer.issuer.as_deref().is_some_and(|issuer| issuer.contains("Pebble")), "{:?}", answer.issuer);
    let plain = bed.cluster.http(DOMAIN, "/setup").await?;
    let location = plain.headers.get("location").and_then(|value| value.to_str().ok());
    ensure!(location == Some("https://cp.wise.test/setup"), "leads to {location:?}");
    let metrics = proxy_metrics(&bed).await?;
    ensure!(metrics.contains("app=\"control-plane\""), "{metrics}");
    Ok(())
}

/// The proxy's own, read on its host.
async fn proxy_metrics(bed: &Bed) -> Result<String> {
    let node = bed.cluster.api()?.get("/nodes/proxy").await?;
    let address = format!("{}:8091", node["mesh_address"].as_str().context("no address")?);
    let server = Server { from: bed.cluster.host(PROXY.name)?, address: address.parse()?, roots: None };
    Ok(server.send(get(&address, "/metrics")?).await?.text())
}

async fn a_login_through_the_proxy_is_audited_with_the_clients_address(bed: Arc<Bed>) -> Result<()> {
    let login = bed.cluster.login()?;
    let account = json!({ "email": login.email, "password": login.password });
    let answer = send(&bed, Method::POST, "/api/v1/session", BASE_URL, None, &account).await?;
    ensure!(answer.status == 200, "{}", answer.text());
    let cookie = answer.headers.get("set-cookie").context("no cookie")?.to_str()?;
    ensure!(cookie.contains("; Secure; HttpOnly"), "{cookie}");
    let cookie = cookie.split(';').next();

    let project = |name: &str| json!({ "slug": name, "name": name });
    let path = "/api/v1/projects";
    let foreign = send(&bed, Method::POST, path, "https://evil.wise.test", cookie, &project("evil")).await?;
    ensure!(foreign.status == 403 && foreign.text().contains("cross_site"), "{}", foreign.text());
    let made = send(&bed, Method::POST, path, BASE_URL, cookie, &project("through-proxy")).await?;
    ensure!(made.status == 201, "{}", made.text());

    let audit = bed.cluster.api()?.get("/audit").await?;
    let events = audit["items"].as_array().context("no events")?;
    for (action, target) in [
        ("session.create", format!("user:{}", login.email)),
        ("project.create", "project:through-proxy".to_owned()),
    ] {
        let event = events
            .iter()
            .find(|event| event["action"] == action && event["target"] == target)
            .with_context(|| format!("no {action} of {target}: {audit}"))?;
        ensure!(event["address"] == INET_ADDRESS.to_string(), "{event}");
    }
    Ok(())
}

/// As a browser on the internet that claims to be somebody else.
async fn send(
    bed: &Bed,
    method: Method,
    path: &str,
    origin: &str,
    cookie: Option<&str>,
    body: &Value,
) -> Result<Answer> {
    let mut request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", DOMAIN)
        .header("origin", origin)
        .header("content-type", "application/json")
        .header("x-forwarded-for", SPOOFED)
        .header("forwarded", format!("for={SPOOFED}"));
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    let roots = Some(bed.cluster.acme_root().await?.to_owned());
    bed.cluster.public(PROXY.public, 443, roots)?.send(request.body(body.to_string().into())?).await
}

async fn an_upload_and_a_live_log_pass_the_proxy(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("through-front", "through the front", "RUN echo a line of the build")?;
    let noise: Vec<u8> = (0..8 << 20).map(|_| rand::random()).collect();
    std::fs::write(app.folder.join("noise"), noise)?;
    let outside = bed.cluster.host(INET)?.folder.join("tmp");
    std::fs::write(outside.join("acme.pem"), bed.cluster.acme_root().await?)?;
    copy(&app.folder, &outside.join(&app.name))?;
    let script = format!("cd /var/tmp/{} && exec /run/testbed/bin/wh deploy", app.name);
    let (url, token) = (format!("WH_URL={BASE_URL}"), format!("WH_TOKEN={}", bed.cluster.login()?.token));
    let output = bed
        .cluster
        .exec(INET, &["env", &url, &token, "WH_CA_FILE=/var/tmp/acme.pem", "sh", "-c", &script])?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{said}");
    ensure!(said.contains("a line of the build"), "{said}");
    bed.serves(&app, |page| page == "through the front").await?;
    Ok(())
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    let copied = std::process::Command::new("cp").arg("-r").args([from, to]).status()?;
    ensure!(copied.success(), "cp: {copied}");
    Ok(())
}

async fn nobody_but_the_proxy_may_use_the_listener_behind_it(bed: Arc<Bed>) -> Result<()> {
    let ask = async |from: Host, path: &str| {
        let mut request: Request = get(DOMAIN, path)?;
        request.headers_mut().insert("x-forwarded-for", SPOOFED.parse()?);
        Server { from, address: FRONT, roots: None }.send(request).await
    };
    let refused = ask(bed.cluster.host("w1")?, "/").await?;
    ensure!(refused.status == 403 && refused.text().contains(BASE_URL), "{}", refused.text());
    for path in ["/v1/traefik/proxy-config", "/v1/workers/ws"] {
        let answer = ask(bed.cluster.host(PROXY.name)?, path).await?;
        ensure!(answer.status == 404, "{path} through the proxy: {}", answer.status);
    }
    Ok(())
}
