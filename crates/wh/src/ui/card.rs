//! Why a deployment failed, on one screen.

use super::paint::{Paint, sanitize};
use super::table::facts;
use crate::api::types::{Deployment, Failed, Probed};
use crate::failure::{Exit, Failure};

/// Lines of log that are shown; the server sends the ones that matter last.
const LINES: usize = 20;

/// The failure of a deployment as this program's failure.
pub(crate) fn failure(deployment: &Deployment, paint: Paint) -> Box<Failure> {
    let app = &deployment.app.slug;
    let what = format!("deployment {} of {app}", deployment.number);
    let Some(failed) = &deployment.failure else {
        let (exit, code) = match deployment.state.as_str() {
            "superseded" => (Exit::Conflict, "superseded"),
            "cancelled" => (Exit::DeployFailed, "cancelled"),
            _ => (Exit::DeployFailed, "deployment_failed"),
        };
        let message = match code {
            "superseded" => format!("{what} was superseded by a newer one"),
            "cancelled" => format!("{what} was cancelled"),
            _ => format!("{what} failed"),
        };
        return Failure::new(exit, code, message).hint("`wh deployments` lists what came after");
    };
    let message = match deployment.state.as_str() {
        // Its release serves: what failed came after.
        "live" | "superseded" => format!("{what} went live, but not all went well: {}", failed.message),
        _ => format!("{what} failed in stage {}: {}", failed.stage, failed.message),
    };
    let mut failure = Failure::new(Exit::DeployFailed, &failed.code, message);
    failure.details = details(failed, paint);
    failure.hint.clone_from(&failed.hint);
    failure.data = serde_json::json!({
        "failure": failed, "deployment": { "id": deployment.id, "number": deployment.number, "app": app },
    });
    failure
}

/// Why an instance of a live app ended: what happened, what to do, and the evidence.
pub(crate) fn ended(failed: &Failed, paint: Paint) -> String {
    let mut lines = vec![format!("\n{}", paint.red(&sanitize(&failed.message)))];
    lines.extend(failed.hint.as_deref().map(|hint| format!("  {}", sanitize(hint))));
    lines.extend(details(failed, paint));
    lines.join("\n")
}

/// Evidence: how the app ended, what the probe saw, what was said last.
fn details(failed: &Failed, paint: Paint) -> Vec<String> {
    let exit_code = failed.exit_code.map(|code| code.to_string()).unwrap_or_default();
    let memory =
        if failed.out_of_memory { paint.red("exhausted: the kernel ended it") } else { String::new() };
    let mut rows = vec![("cause", sanitize(&failed.cause)), ("exit code", exit_code), ("memory", memory)];
    if let Some(probe) = &failed.probe {
        rows.push(("probe", probed(probe)));
        rows.push(("answer", probe.body.as_deref().map(sanitize).unwrap_or_default().replace('\n', " ")));
    }
    let mut lines: Vec<String> = facts(&rows, paint).lines().map(|line| format!("  {line}")).collect();
    let skip = failed.last_lines.len().saturating_sub(LINES);
    if !failed.last_lines.is_empty() {
        lines.push(format!("  {}", paint.dim("last lines")));
    }
    lines.extend(
        failed.last_lines.iter().skip(skip).map(|line| format!("  {} {}", paint.red("│"), sanitize(line))),
    );
    lines
}

/// The last attempt of a probe in one line.
pub(crate) fn probed(probe: &Probed) -> String {
    let attempts = match probe.attempts {
        0 | 1 => String::new(),
        many => format!(" ({many} attempts)"),
    };
    sanitize(&format!("{} → {}{attempts}", probe.target, probe.outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_shows_what_is_known_and_nothing_else() {
        let failed = Failed {
            cause: "The app needs more memory.".to_owned(),
            exit_code: Some(137),
            out_of_memory: true,
            last_lines: (1..=30).map(|n| format!("line {n}")).collect(),
            probe: Some(Probed {
                target: "GET http://10.50.0.11:20001/up".to_owned(),
                attempts: 24,
                outcome: "HTTP 503 in 12 ms".to_owned(),
                ..Probed::default()
            }),
            ..Failed::default()
        };
        let lines = details(&failed, Paint { on: false });
        assert_eq!(
            lines[..5],
            [
                "  cause      The app needs more memory.",
                "  exit code  137",
                "  memory     exhausted: the kernel ended it",
                "  probe      GET http://10.50.0.11:20001/up → HTTP 503 in 12 ms (24 attempts)",
                "  last lines",
            ]
        );
        assert_eq!((lines.len(), lines[5].as_str()), (25, "  │ line 11"));
        assert!(details(&Failed::default(), Paint { on: false }).is_empty());
    }
}
