//! Programs in instances, through the control plane and over the mesh.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::report::until;
use tokio::io::AsyncWriteExt;

use crate::bed::{Bed, SOON};
use crate::runner::tests;

tests![
    a_program_in_an_instance_has_input_outputs_and_exit_code_and_leaves_a_record,
    files_go_into_an_instance_and_come_out_again,
];

async fn a_program_in_an_instance_has_input_outputs_and_exit_code_and_leaves_a_record(
    bed: Arc<Bed>,
) -> Result<()> {
    let app = bed.page("shellable", "here", "")?;
    bed.deploy(&app).await?;
    let script = "read word; echo \"$word from $(cat /www/index.html)\"; echo bad >&2; exit 9";
    let mut exec = bed.wh(&app.folder, &["exec", "--", "sh", "-c", script])?;
    let mut child = exec.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("no input")?.write_all(b"greetings\n").await?;
    let ended = tokio::time::timeout(SOON, child.wait_with_output()).await.context("it goes on")??;
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    ensure!(ended.status.code() == Some(9), "{}: {out}{err}", ended.status);
    ensure!(out == "greetings from here\n" && err == "bad\n", "{out}{err}");

    // A megabyte there and back.
    let data: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut cat = bed.wh(&app.folder, &["exec", "--", "cat"])?;
    let mut child = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().context("no input")?;
    let send = async {
        input.write_all(&data).await?;
        drop(input);
        anyhow::Ok(())
    };
    let (sent, ended) =
        tokio::time::timeout(2 * SOON, async { tokio::join!(send, child.wait_with_output()) })
            .await
            .context("the data does not come back")?;
    sent?;
    ensure!(ended?.stdout == data, "other data came back");

    // Whoever goes takes what runs along.
    let mut sleeps = bed.wh(&app.folder, &["exec", "--", "sh", "-c", "echo begun; sleep 4711"])?;
    let mut child = sleeps.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let runs = || async {
        let found = bed.try_wh(&app.folder, &["exec", "--", "ps"]).await?;
        Ok::<_, anyhow::Error>(String::from_utf8_lossy(&found.stdout).contains("sleep 4711"))
    };
    until("the sleep", SOON, || async { Ok(runs().await?.then_some(())) }).await?;
    child.kill().await?;
    until("its end", Duration::from_mins(1), || async { Ok((!runs().await?).then_some(())) }).await?;

    let audit = bed.cluster.api()?.get("/audit").await?;
    let events = audit["items"].as_array().context("no events")?;
    let ends =
        events.iter().filter(|event| event["action"] == "exec.end" && event["target"] == "app:shellable");
    let codes: Vec<&Value> = ends.map(|event| &event["detail"]["exit_code"]).collect();
    ensure!(codes.contains(&&Value::from(9)), "{audit}");
    ensure!(!audit.to_string().contains("greetings"), "{audit}");
    Ok(())
}

async fn files_go_into_an_instance_and_come_out_again(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("copied", "here", "")?;
    bed.deploy(&app).await?;
    app.write("notes/a.txt", "one")?;
    app.write("notes/deep/b.txt", &"long ".repeat(200_000))?;
    bed.run_wh(&app.folder, &["cp", "notes", "copied:/tmp"]).await?;
    bed.run_wh(&app.folder, &["cp", "notes/a.txt", "copied:/tmp/notes/c.txt"]).await?;
    // Links that lead out come from apps that were broken into.
    let plant = "cd /tmp/notes && ln -s /etc/passwd out && ln -s a.txt in";
    bed.run_wh(&app.folder, &["exec", "--", "sh", "-c", plant]).await?;
    let output = bed.try_wh(&app.folder, &["cp", "copied:/tmp/notes", "back"]).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.contains("left out: out"), "{said}");
    for (name, content) in [("a.txt", "one"), ("c.txt", "one"), ("in", "one")] {
        ensure!(std::fs::read_to_string(app.folder.join("back").join(name))? == content, "{name}: {said}");
    }
    let long = std::fs::metadata(app.folder.join("back/deep/b.txt"))?.len();
    ensure!(long == 1_000_000 && !app.folder.join("back/out").is_symlink(), "{long} bytes");
    bed.serves(&app, |page| page == "here").await?;
    let missing = bed.try_wh(&app.folder, &["cp", "copied:/no/such/file", "."]).await?;
    let said = String::from_utf8_lossy(&missing.stderr);
    ensure!(missing.status.code() == Some(4), "{said}");
    ensure!(said.contains("/no/such/file") && said.contains("copied"), "{said}");
    let audit = bed.cluster.api()?.get("/audit").await?;
    let events = audit["items"].as_array().context("no events")?;
    for action in ["files.read", "files.write"] {
        let noted = |event: &&Value| event["action"] == action && event["target"] == "app:copied";
        ensure!(events.iter().any(|event| noted(&event)), "no {action}: {audit}");
    }
    Ok(())
}
