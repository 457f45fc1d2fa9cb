//! Why a host name does not answer.

use reqwest::Method;
use serde_json::json;

use super::Shell;
use crate::api::types::{DoctorReport, Finding};
use crate::failure::{Exit, Failure, Result};
use crate::ui::paint::Paint;
use crate::ui::sanitize;

const PROBLEM: &str = "problem";

/// Ends with an error when something is broken, so that scripts can ask.
pub(crate) async fn run(shell: &Shell, host: &str, from: Option<&str>) -> Result<()> {
    shell.ui.note(&format!("looking at {} from outside and from inside …", sanitize(host)));
    let mut body = json!({ "host": host });
    if let Some(from) = from {
        body["from"] = json!(from);
    }
    let report: DoctorReport = shell.client()?.send(Method::POST, "/doctor", &body).await?;
    if shell.ui.json {
        crate::ui::json(&report)?;
    } else {
        let paint = shell.ui.out_paint();
        let lines: Vec<String> = report.findings.iter().map(|finding| told(finding, paint)).collect();
        crate::ui::data(&lines.join("\n"))?;
    }
    if report.level != PROBLEM {
        return Ok(());
    }
    let problems = report.findings.iter().filter(|finding| finding.level == PROBLEM).count();
    let count = if problems == 1 { "1 problem".to_owned() } else { format!("{problems} problems") };
    Err(Failure::new(Exit::Error, "host_broken", format!("{} has {count}", report.host)))
}

/// Words of CAs and of DNS servers are in them: on one line, and harmless to a terminal.
fn line(text: &str) -> String {
    sanitize(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn told(finding: &Finding, paint: Paint) -> String {
    let mark = match finding.level.as_str() {
        "ok" => paint.green("✓"),
        PROBLEM => paint.red("✗"),
        _ => paint.yellow("!"),
    };
    let check = paint.dim(&format!("{:<12}", sanitize(&finding.check)));
    let indent = " ".repeat(15);
    let mut lines = vec![format!("{mark} {check} {}", line(&finding.summary))];
    lines.extend(finding.fix.as_ref().map(|fix| format!("{indent}→ {}", line(fix))));
    lines.extend(finding.records.iter().map(|record| {
        let line = format!("{}  {}  {}", record.name, record.kind, record.value);
        format!("{indent}  {}", paint.bold(&sanitize(&line)))
    }));
    lines.join("\n")
}
