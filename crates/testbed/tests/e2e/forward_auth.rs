//! One app decides who sees another.

use std::sync::Arc;

use anyhow::{Result, ensure};
use http::HeaderValue;
use testbed::http::{Answer, get};
use testbed::report::until;
use testbed::topology::PROXY;

use crate::bed::{App, Bed, SOON};
use crate::runner::tests;

tests![long an_app_guards_another];

/// ann:sesame
const ANN: &str = "Basic YW5uOnNlc2FtZQ==";

async fn an_app_guards_another(bed: Arc<Bed>) -> Result<()> {
    // busybox's httpd wants name and password for a folder: 401 without, 200 with.
    let guard = bed.page("doorman", "who are you", "COPY httpd.conf /etc/httpd.conf")?;
    guard.write("httpd.conf", "/verify:ann:sesame\n")?;
    guard.write("www/verify/index.html", "come in")?;
    let vault = bed.page("vault", "gold", "")?;
    vault.write("www/health.txt", "well")?;
    for app in [&guard, &vault] {
        bed.deploy(app).await?;
    }
    let strange = bed.try_wh(&vault.folder, &["route", "forward-auth", "on", "app:nobody/verify/"]).await?;
    ensure!(!strange.status.success(), "asks an app that there is not");

    let on = ["route", "forward-auth", "on", "app:doorman/verify/", "--skip", "/health.txt"];
    bed.run_wh(&vault.folder, &on).await?;
    let refused = until("the first question", SOON, || async {
        let answer = ask(&bed, &vault, "/", None).await?;
        Ok((answer.status != 200).then_some(answer))
    })
    .await?;
    ensure!(refused.status == 401 && !refused.text().contains("gold"), "{refused:?}");
    ensure!(refused.headers.contains_key("www-authenticate"), "{:?}", refused.headers);
    let let_in = ask(&bed, &vault, "/", Some(ANN)).await?;
    ensure!(let_in.status == 200 && let_in.text() == "gold", "{let_in:?}");
    let skipped = ask(&bed, &vault, "/health.txt", None).await?;
    ensure!(skipped.status == 200 && skipped.text() == "well", "{skipped:?}");

    bed.run_wh(&guard.folder, &["stop"]).await?;
    until("a closed door", SOON, || async {
        let answer = ask(&bed, &vault, "/", Some(ANN)).await?;
        ensure!(answer.status != 200 || answer.text() == "gold", "{answer:?}");
        Ok((answer.status == 503 && answer.text().contains("sign-in does not answer")).then_some(()))
    })
    .await?;
    bed.run_wh(&vault.folder, &["route", "forward-auth", "off"]).await?;
    bed.serves(&vault, |page| page == "gold").await?;
    Ok(())
}

async fn ask(bed: &Bed, app: &App, path: &str, authorization: Option<&'static str>) -> Result<Answer> {
    let mut request = get(&app.host(), path)?;
    if let Some(authorization) = authorization {
        request.headers_mut().insert("authorization", HeaderValue::from_static(authorization));
    }
    let root = bed.cluster.acme_root().await?.to_owned();
    bed.cluster.public(PROXY.public, 443, Some(root))?.send(request).await
}
