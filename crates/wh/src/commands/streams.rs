//! Ports of the proxies that lead to the app past HTTP.

use reqwest::Method;
use serde_json::json;

use super::Shell;
use crate::api::types::{Stream, Streams};
use crate::args::{AddStream, StreamCommand, StreamProtocol};
use crate::failure::Result;
use crate::ui::sanitize;
use crate::ui::table::{Cell, Table};

pub(crate) async fn run(shell: &Shell, command: Option<StreamCommand>) -> Result<()> {
    match command.unwrap_or(StreamCommand::Ls) {
        StreamCommand::Ls => ls(shell).await,
        StreamCommand::Add(asked) => add(shell, asked).await,
        StreamCommand::Rm { protocol, port } => rm(shell, protocol, port).await,
    }
}

async fn ls(shell: &Shell) -> Result<()> {
    let streams: Streams = shell.client()?.get(&shell.app_path(&["streams"])?).await?;
    if shell.ui.json {
        return crate::ui::json(&streams.items);
    }
    if streams.items.is_empty() {
        shell.ui.note(&format!(
            "no streams: `wh stream add tcp` publishes the app's port at one of {}",
            streams.ports
        ));
        return Ok(());
    }
    let mut table = Table::new(&["PORT", "ADDRESS", "STATE", "OPTIONS"]);
    for stream in &streams.items {
        table.row(vec![
            Cell::name(place(stream)),
            Cell::plain(stream.address.as_deref().unwrap_or("–")),
            Cell::status(state(stream)),
            Cell::dim(options(stream)),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))?;
    for stream in &streams.items {
        troubles(shell, stream);
    }
    Ok(())
}

async fn add(shell: &Shell, asked: AddStream) -> Result<()> {
    let protocol = asked.protocol.word();
    let mut options = json!({ "allow": asked.allow, "proxy_protocol": asked.proxy_protocol });
    if let Some(host) = asked.tls {
        options["tls"] = json!(host);
    }
    if let Some(most) = asked.max_connections {
        options["max_connections"] = json!(most);
    }
    if let Some(idle) = asked.idle_timeout {
        options["idle_timeout_s"] = json!(idle.as_secs());
    }
    let client = shell.client()?;
    let stream: Stream = if let Some(port) = asked.port {
        let path = shell.app_path(&["streams", protocol, &port.to_string()])?;
        client.send(Method::PUT, &path, &options).await?
    } else {
        let body = json!({ "protocol": protocol, "options": options });
        client.send(Method::POST, &shell.app_path(&["streams"])?, &body).await?
    };
    if shell.ui.json {
        return crate::ui::json(&stream);
    }
    shell.ui.done(&format!("port {} leads to the app", place(&stream)));
    troubles(shell, &stream);
    match &stream.address {
        Some(address) => crate::ui::data(address),
        None => Ok(()),
    }
}

async fn rm(shell: &Shell, protocol: StreamProtocol, port: u16) -> Result<()> {
    let path = shell.app_path(&["streams", protocol.word(), &port.to_string()])?;
    shell.client()?.delete(&path).await?;
    if shell.ui.json {
        return crate::ui::json(&json!({ "protocol": protocol.word(), "port": port, "removed": true }));
    }
    shell.ui.done(&format!("port {port}/{} is closed; who is connected has 30 seconds", protocol.word()));
    Ok(())
}

fn place(stream: &Stream) -> String {
    format!("{}/{}", stream.port, stream.protocol)
}

fn state(stream: &Stream) -> &'static str {
    match (&stream.warning, stream.problems.as_slice()) {
        (_, [_, ..]) => "failed",
        (Some(_), _) => "warning",
        _ => "live",
    }
}

fn options(stream: &Stream) -> String {
    let mut words = Vec::new();
    words.extend(stream.tls.as_ref().map(|host| format!("tls={host}")));
    words.extend(stream.proxy_protocol.then(|| "proxy-protocol".to_owned()));
    words.extend((!stream.allow.is_empty()).then(|| format!("allow={}", stream.allow.join(","))));
    words.join(" ")
}

fn troubles(shell: &Shell, stream: &Stream) {
    if let Some(warning) = &stream.warning {
        shell.ui.note(&format!("{}: {}", place(stream), sanitize(warning)));
    }
    for issue in &stream.problems {
        shell.ui.note(&format!(
            "{} on {}: {}",
            place(stream),
            sanitize(&issue.node),
            sanitize(&issue.problem)
        ));
    }
}
