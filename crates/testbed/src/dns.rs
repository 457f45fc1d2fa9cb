//! Records in the DNS of the cluster's public internet.

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::Full;
use serde_json::json;

use crate::cluster::Cluster;
use crate::network::INET_ADDRESS;

/// Where its DNS server takes orders.
const MANAGEMENT: u16 = 8055;

impl Cluster {
    /// Adds a TXT record.
    pub async fn set_txt(&self, name: &str, value: &str) -> Result<()> {
        self.order("/set-txt", &json!({ "host": format!("{name}."), "value": value })).await
    }

    /// Removes all TXT records of the name.
    pub async fn clear_txt(&self, name: &str) -> Result<()> {
        self.order("/clear-txt", &json!({ "host": format!("{name}.") })).await
    }

    async fn order(&self, path: &str, body: &serde_json::Value) -> Result<()> {
        let body = Full::new(Bytes::from(body.to_string()));
        let request = http::Request::post(path).header("host", INET_ADDRESS.to_string()).body(body)?;
        let answer = self.public(INET_ADDRESS, MANAGEMENT, None)?.send(request).await?;
        ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.text());
        Ok(())
    }
}
