//! Domains and options of routes from the project file. They need no deployment: once sent they hold.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Shell;
use crate::api::types::{Change, Domain};
use crate::api::{Client, path};
use crate::failure::Result;
use crate::project::Project;
use crate::route::Options;
use crate::ui::sanitize;
use crate::way::steps::{self, Present, Step};
use crate::way::{Wanted, Way};

/// What the file asks for and the app has not.
#[derive(Debug, Default)]
pub(super) struct Plan {
    app: String,
    steps: Vec<Step>,
    /// What cannot be done yet, in words.
    waiting: Vec<String>,
    /// Domains that the file names and that are not verified.
    unverified: Vec<Domain>,
}

/// A record that is missing.
#[derive(Debug, Serialize)]
pub(super) struct Missing {
    domain: String,
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    /// Made when the domain is added.
    value: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Routes {
    own: Options,
    hosts: Vec<String>,
}

/// Asks for what the file speaks of, and for nothing without.
pub(super) async fn read(client: &Client, app: &str, project: &Project) -> Result<Plan> {
    let way = &project.way;
    if way.is_empty() {
        return Ok(Plan::default());
    }
    let present = present(client, app, way).await?;
    let (steps, waiting) = steps::steps(way, &present);
    let unverified = present.domains.into_iter().filter(|domain| domain.state != "verified");
    let is_named = |domain: &Domain| {
        let wanted = way.domains.iter().find(|(name, _)| steps::is(domain, name));
        wanted.is_some_and(|(_, wanted)| matches!(wanted, Wanted::There(_)))
    };
    let unverified = unverified.filter(is_named).collect();
    Ok(Plan { app: app.to_owned(), steps, waiting, unverified })
}

async fn present(client: &Client, app: &str, way: &Way) -> Result<Present> {
    let mut present = Present::default();
    let routes: Routes = client.get(&path(&["apps", app, "routes"])).await?;
    (present.routes, present.hosts) = (routes.own, routes.hosts);
    if !way.domains.is_empty() {
        present.domains = client.list(&path(&["apps", app, "domains"])).await?;
    }
    for (name, wanted) in &way.domains {
        if let (Wanted::There(wanted), Some(domain)) = (wanted, present.domain(name))
            && !wanted.routes.is_empty()
        {
            let host = domain.hostname.clone();
            let routes: Routes = client.get(&path(&["apps", app, "domains", &host, "routes"])).await?;
            present.of_domains.insert(host, routes.own);
        }
    }
    Ok(present)
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub(super) fn changes(&self) -> impl Iterator<Item = Change> {
        self.steps.iter().flat_map(Step::changes)
    }

    /// The records by which the file's domains show whose they are.
    pub(super) fn missing(&self) -> Vec<Missing> {
        let of = |domain: &Domain| Missing {
            domain: domain.hostname.clone(),
            name: domain.records.proof.name.clone(),
            kind: "TXT",
            value: Some(domain.records.proof.value.clone()),
        };
        let added = self.steps.iter().filter_map(|step| match step {
            Step::Add { host } => Some(Missing {
                domain: host.clone(),
                name: format!("_wisehosting.{}", host.strip_prefix("*.").unwrap_or(host)),
                kind: "TXT",
                value: None,
            }),
            _ => None,
        });
        self.unverified.iter().map(of).chain(added).collect()
    }

    /// What people have to do, and what waits for it.
    pub(super) fn tell(&self, shell: &Shell) {
        for one in self.missing() {
            let (domain, name) = (sanitize(&one.domain), sanitize(&one.name));
            shell.ui.note(&match one.value {
                Some(value) => format!(
                    "{domain} is not verified: write a TXT record {name} with the value {}",
                    sanitize(&value)
                ),
                None => format!(
                    "{domain} will need a TXT record {name}; its value is told once the domain is added"
                ),
            });
        }
        for text in &self.waiting {
            shell.ui.note(&format!("{}; `wh apply` sets it then", sanitize(text)));
        }
    }

    /// Does it, and tells each thing that is done. What was added may be called otherwise from then on.
    pub(super) async fn send(&mut self, shell: &Shell, client: &Client) -> Result<()> {
        let mut called = BTreeMap::new();
        for step in std::mem::take(&mut self.steps) {
            let changes = step.changes();
            if let Some(added) = self.carry_out(client, step, &mut called).await? {
                self.unverified.push(added);
            }
            for change in &changes {
                shell.ui.done(&super::plan::arrow(change));
            }
        }
        Ok(())
    }

    async fn carry_out(
        &self,
        client: &Client,
        step: Step,
        called: &mut BTreeMap<String, String>,
    ) -> Result<Option<Domain>> {
        let of_domain = |host: &str, rest: &[&str]| {
            let host = called.get(host).map_or(host, String::as_str);
            path(&[&["apps", &self.app, "domains", host], rest].concat())
        };
        match step {
            Step::Add { host } => {
                let at = path(&["apps", &self.app, "domains"]);
                let added: Domain = client.send(Method::POST, &at, &json!({ "hostname": host })).await?;
                called.insert(host, added.hostname.clone());
                return Ok(Some(added).filter(|domain| domain.state != "verified"));
            }
            Step::Remove { host, .. } => client.delete(&of_domain(&host, &[])).await?,
            Step::PutPath { host, path, to, .. } => {
                let body = json!({ "path": path, "app": to.app, "strip_prefix": to.strip_prefix });
                client.send::<Value>(Method::POST, &of_domain(&host, &["paths"]), &body).await?;
            }
            Step::RemovePath { host, id, .. } => client.delete(&of_domain(&host, &["paths", &id])).await?,
            Step::Set { host, set, .. } => {
                let at = match &host {
                    Some(host) => of_domain(host, &["routes"]),
                    None => path(&["apps", &self.app, "routes"]),
                };
                client.send::<Value>(Method::PATCH, &at, &json!({ "set": set })).await?;
            }
        }
        Ok(None)
    }
}

/// Makes domains and routes what the file says, before anything is deployed.
pub(super) async fn bring(shell: &Shell, client: &Client, app: &str, project: &Project) -> Result<()> {
    let mut plan = read(client, app, project).await?;
    plan.send(shell, client).await?;
    plan.tell(shell);
    Ok(())
}
