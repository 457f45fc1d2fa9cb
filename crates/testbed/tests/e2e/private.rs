//! How apps reach each other by name, as programs in their containers see it.

mod doctor;
mod ipv6;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::report::until;
use testbed::{software, topology};

use crate::bed::{App, Bed, MINUTE, SOON};
use crate::runner::tests;

tests![
    apps_of_a_project_reach_each_other_by_name_and_others_need_a_grant,
    long no_internal_request_fails_while_an_app_is_deployed_and_agents_die,
];

/// Asks the address in `$1` for a page, `$2` times, and prints each page or `failed`.
const ASK: &str = r#"for _ in $(seq "$2"); do
  printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 3 "$1" "${3:-80}" 2>/dev/null | tail -n 1 | grep . || echo failed
done"#;

/// Asks for a page at all ports from `$2` to `$3` of the address at once, and prints each or `failed`.
const SWEEP: &str = r#"for port in $(seq "$2" "$3"); do (
  printf 'GET / HTTP/1.0

' | nc -w 3 "$1" "$port" 2>/dev/null | tail -n 1 | grep . || echo failed
) & done; wait"#;

/// Sends what it is given to `$1`, and prints the datagram that comes back.
const DATAGRAM: &str = "exec 3<>/dev/udp/$1/53; cat >&3; timeout 2 dd bs=1500 count=1 <&3 2>/dev/null";

/// A container on a host.
struct Inside {
    node: String,
    name: String,
}

impl Inside {
    /// Those of the app's instances that get requests.
    async fn all(bed: &Bed, app: &App) -> Result<Vec<Self>> {
        let instances = bed.wh_json(&app.folder, &["ps"]).await?;
        let serving = instances.as_array().into_iter().flatten().filter(|one| one["in_rotation"] == true);
        serving.map(|one| Self::of(bed, one)).collect()
    }

    fn of(bed: &Bed, instance: &Value) -> Result<Self> {
        let (id, node) = (instance["id"].as_str(), instance["node"]["name"].as_str());
        let (id, node) = (id.context("no instance")?, node.context("no node")?);
        let filter = format!("label=wisehosting.instance={id}");
        let found =
            bed.cluster.exec(node, &["podman", "ps", "--filter", &filter, "--format", "{{.Names}}"])?;
        let name = String::from_utf8(found.stdout)?.trim().to_owned();
        ensure!(!name.is_empty(), "no container of {id} on {node}");
        Ok(Self { node: node.to_owned(), name })
    }

    fn run(&self, bed: &Bed, words: &[&str], input: &[u8]) -> Result<Vec<u8>> {
        let words = [&["podman", "exec", "-i", &self.name], words].concat();
        fed(bed.cluster.command(&self.node, &words)?, input)
    }

    /// Pages of so many requests.
    fn pages(&self, bed: &Bed, address: &str, count: usize, port: u16) -> Result<Vec<String>> {
        let (count, port) = (count.to_string(), port.to_string());
        let said = self.run(bed, &["sh", "-c", ASK, "ask", address, &count, &port], b"")?;
        Ok(String::from_utf8(said)?.lines().map(str::to_owned).collect())
    }

    /// The address of a name, as the container's resolver tells it; `None` for a name that does not exist.
    fn resolve(&self, bed: &Bed, name: &str) -> Result<Option<String>> {
        let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            question.push(u8::try_from(label.len())?);
            question.extend(label.as_bytes());
        }
        question.extend([0, 0, 1, 0, 1]);
        let conf = String::from_utf8(self.run(bed, &["cat", "/etc/resolv.conf"], b"")?)?;
        let server = conf.lines().find_map(|line| line.strip_prefix("nameserver ")).context("no resolver")?;
        let pid =
            bed.cluster.exec(&self.node, &["podman", "inspect", "--format", "{{.State.Pid}}", &self.name])?;
        let pid = String::from_utf8(pid.stdout)?;
        let words = ["nsenter", "-t", pid.trim(), "-n", "bash", "-c", DATAGRAM, "ask", server];
        let answer = fed(bed.cluster.command(&self.node, &words)?, &question)?;
        ensure!(answer.len() > question.len(), "{name}: no answer from {server}: {answer:?}");
        // Past the question, in which `desk` looks like the length and the first byte of an address.
        let found = answer[question.len()..].windows(6).find(|part| part[..3] == [0, 4, 100]);
        Ok(found.map(|part| format!("{}.{}.{}.{}", part[2], part[3], part[4], part[5])))
    }
}

/// What `command` prints when it is given `input`.
fn fed(mut command: Command, input: &[u8]) -> Result<Vec<u8>> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    child.stdin.take().context("no input")?.write_all(input)?;
    Ok(child.wait_with_output()?.stdout)
}

/// An app that says which container it is.
fn talker(bed: &Bed, name: &str, replicas: u32) -> Result<App> {
    let app = bed.source(
        name,
        "FROM docker.io/library/busybox:stable\nUSER nobody\nCMD [\"sh\", \"-c\", \"mkdir /tmp/w && hostname > /tmp/w/index.html && exec httpd -f -p 8080 -h /tmp/w\"]\n",
    )?;
    let project = format!(
        "app = \"{name}\"\n[run]\nport = 8080\nreplicas = {replicas}\n[deploy]\ndrain_s = 2\n[probe]\ntype = \"http\"\npath = \"/\"\n"
    );
    app.write("wisehosting.toml", &project)?;
    Ok(app)
}

async fn deploy(bed: &Bed, app: &App, project: &str) -> Result<()> {
    bed.run_wh(&app.folder, &["apps", "create", &app.name, "--project", project]).await?;
    bed.deploy(app).await?;
    Ok(())
}

async fn project(bed: &Bed, name: &str) -> Result<()> {
    bed.cluster.api()?.post("/projects", json!({ "slug": name })).await?;
    Ok(())
}

async fn apps_of_a_project_reach_each_other_by_name_and_others_need_a_grant(bed: Arc<Bed>) -> Result<()> {
    for name in ["shop", "office"] {
        project(&bed, name).await?;
    }
    let (stock, till, desk) = (talker(&bed, "stock", 2)?, talker(&bed, "till", 1)?, talker(&bed, "desk", 1)?);
    tokio::try_join!(
        deploy(&bed, &stock, "shop"),
        deploy(&bed, &till, "shop"),
        deploy(&bed, &desk, "office")
    )?;
    let all = until("two instances", MINUTE, || async {
        let all = Inside::all(&bed, &stock).await?;
        let nodes: BTreeSet<&str> = all.iter().map(|one| one.node.as_str()).collect();
        Ok((nodes.len() == 2).then_some(all))
    })
    .await?;
    let till = Inside::all(&bed, &till).await?.pop().context("no till")?;
    let desk = Inside::all(&bed, &desk).await?.pop().context("no desk")?;

    // By name, on its own port and on 80, and on whichever node; also from its own containers.
    let address = until("the name", SOON, || async { till.resolve(&bed, "stock.shop.internal") }).await?;
    for from in [&till, &all[0], &all[1]] {
        for port in [80, 8080] {
            until("answers of both instances", SOON, || async {
                let pages = from.pages(&bed, &address, 20, port)?;
                ensure!(!pages.iter().any(|page| page == "failed"), "{} {port}: {pages:?}", from.name);
                Ok((pages.into_iter().collect::<BTreeSet<_>>().len() == 2).then_some(()))
            })
            .await?;
        }
    }

    nothing_of_it_without_a_grant(&bed, &desk, &till, &all, &address).await?;
    let neighbour = all.iter().find(|one| one.node == desk.node).context("no neighbour")?;
    ipv6::leads_nowhere(&bed, &desk, neighbour).await?;
    doctor::names_the_grant_that_is_missing(&bed).await?;
    as_long_as_it_is_granted(&bed, &desk, &till, &address).await?;
    out_of_the_project_as_its_rules_say(&bed, &desk, &till).await
}

/// Not even at the addresses of its containers and of the hosts.
async fn nothing_of_it_without_a_grant(
    bed: &Bed,
    desk: &Inside,
    till: &Inside,
    all: &[Inside],
    address: &str,
) -> Result<()> {
    let shown = bed.wh_json(&bed.root, &["network", "show", "office"]).await?;
    ensure!(shown["apps"].as_array().is_some_and(|apps| apps.len() == 1), "{shown}");
    ensure!(desk.resolve(bed, "stock.shop.internal")?.is_none(), "office knows the name");
    ensure!(desk.pages(bed, address, 3, 80)? == ["failed"; 3], "office reaches the address");
    ensure!(desk.pages(bed, address, 3, 8080)? == ["failed"; 3], "office reaches the port");
    // Other nodes have the same addresses of their own for their containers.
    for one in all.iter().filter(|one| one.node == desk.node) {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let found = bed.cluster.exec(&one.node, &["podman", "inspect", "--format", format, &one.name])?;
        let own = String::from_utf8(found.stdout)?;
        ensure!(desk.pages(bed, own.trim(), 1, 8080)? == ["failed"], "office reaches {own} itself");
    }
    for one in all {
        let node = bed.cluster.api()?.get(&format!("/nodes/{}", one.node)).await?;
        let mesh = node["mesh_address"].as_str().context("no address")?.to_owned();
        for from in [desk, till] {
            let said = from.run(bed, &["sh", "-c", SWEEP, "sweep", &mesh, "20000", "20007"], b"")?;
            ensure!(
                said == b"failed\n".repeat(8),
                "{} reaches {mesh}: {:?}",
                from.name,
                String::from_utf8_lossy(&said)
            );
        }
    }

    Ok(())
}

async fn as_long_as_it_is_granted(bed: &Bed, desk: &Inside, till: &Inside, address: &str) -> Result<()> {
    bed.run_wh(&bed.root, &["network", "grant", "office", "shop/stock"]).await?;
    until("the granted name", SOON, || async { desk.resolve(bed, "stock.shop.internal") }).await?;
    until("the granted app", SOON, || async {
        let pages = desk.pages(bed, address, 20, 80)?;
        ensure!(!pages.iter().any(|page| page == "failed"), "{pages:?}");
        Ok((pages.into_iter().collect::<BTreeSet<_>>().len() == 2).then_some(()))
    })
    .await?;
    ensure!(desk.resolve(bed, "till.shop.internal")?.is_none(), "one app was granted, not all");
    ensure!(till.resolve(bed, "desk.office.internal")?.is_none(), "a grant has one direction");
    doctor::names_the_worker_that_is_broken(bed, desk).await?;
    bed.run_wh(&bed.root, &["network", "revoke", "office", "shop/stock"]).await?;
    until("the end of the grant", SOON, || async {
        Ok((desk.pages(bed, address, 1, 80)? == ["failed"]).then_some(()))
    })
    .await?;
    ensure!(desk.resolve(bed, "stock.shop.internal")?.is_none(), "the name is still known");

    Ok(())
}

/// A host of the internet that answers, then does not, then does by its rule.
async fn out_of_the_project_as_its_rules_say(bed: &Bed, desk: &Inside, till: &Inside) -> Result<()> {
    let outside = topology::PROXY.public.to_string();
    let reaches = |from: &Inside| -> Result<bool> {
        Ok(from.run(
            bed,
            &["sh", "-c", "nc -w 2 \"$1\" 80 </dev/null && echo open", "look", &outside],
            b"",
        )? == b"open\n")
    };
    ensure!(reaches(desk)?, "the internet is closed");
    for (words, open) in [
        (&["network", "egress", "office", "--none"][..], false),
        (&["network", "egress", "office", "--allow", &format!("{outside}:443")], false),
        (&["network", "egress", "office", "--allow", &format!("{outside}:80")], true),
        (&["network", "egress", "office", "--none"], false),
        (&["network", "egress", "office", "--open"], true),
    ] {
        bed.run_wh(&bed.root, words).await?;
        until("the rules", SOON, || async { Ok((reaches(desk)? == open).then_some(())) }).await?;
    }
    ensure!(reaches(till)?, "the other project has no such rules");
    Ok(())
}

async fn no_internal_request_fails_while_an_app_is_deployed_and_agents_die(bed: Arc<Bed>) -> Result<()> {
    project(&bed, "steady").await?;
    let (api, web) = (talker(&bed, "steady-api", 2)?, talker(&bed, "steady-web", 1)?);
    tokio::try_join!(deploy(&bed, &api, "steady"), deploy(&bed, &web, "steady"))?;
    let web = Inside::all(&bed, &web).await?.pop().context("no web")?;
    let name = "steady-api.steady.internal";
    let address = until("the name", SOON, || async { web.resolve(&bed, name) }).await?;
    until("answers", SOON, || async {
        let pages = web.pages(&bed, &address, 5, 80)?;
        Ok((!pages.iter().any(|page| page == "failed")).then_some(()))
    })
    .await?;

    // One connection after the other, for as long as all this takes.
    let enough = "/tmp/enough";
    let script = r#"while [ ! -e "$2" ]; do
      printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 5 "$1" 80 2>/dev/null | tail -n 1 | grep . || echo failed
    done"#;
    let words = ["podman", "exec", &web.name, "sh", "-c", script, "loop", &address, enough];
    let mut requests = bed.cluster.command(&web.node, &words)?;
    requests.stdout(Stdio::piped()).stderr(Stdio::null());
    let requests = requests.spawn()?;
    let told = async {
        for round in ["one", "two"] {
            api.write("round", round)?;
            bed.run_wh(&api.folder, &["deploy"]).await?;
        }
        for worker in [topology::W1, topology::W2] {
            let host = bed.cluster.host(worker.name)?;
            tokio::task::spawn_blocking(move || host.kill_process(software::WORKER)).await??;
            ensure!(web.resolve(&bed, name)?.as_deref() == Some(&address), "no name without an agent");
        }
        bed.online("w1").await?;
        bed.online("w2").await?;
        // Without a control plane, and an agent that has nothing but what is on its disk.
        let cp = bed.cluster.host("cp")?;
        cp.stop_process(software::CONTROL_PLANE)?;
        let host = bed.cluster.host(&web.node)?;
        tokio::task::spawn_blocking(move || host.kill_process(software::WORKER)).await??;
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        let named = web.resolve(&bed, name);
        cp.start_process(software::CONTROL_PLANE)?;
        ensure!(named?.as_deref() == Some(&address), "no name without a control plane");
        bed.online("w1").await?;
        bed.online("w2").await?;
        Ok(())
    }
    .await;
    web.run(&bed, &["touch", enough], b"")?;
    let said = String::from_utf8(requests.wait_with_output()?.stdout)?;
    told?;
    let failed = said.lines().filter(|line| *line == "failed").count();
    let answered: BTreeSet<&str> = said.lines().filter(|line| *line != "failed").collect();
    println!("{} internal requests to {} instances, {failed} failed", said.lines().count(), answered.len());
    ensure!(failed == 0 && said.lines().count() > 50, "{failed} of {} failed", said.lines().count());
    ensure!(answered.len() >= 6, "instances that answered: {answered:?}");
    Ok(())
}
