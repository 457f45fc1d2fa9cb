//! Go programs.

use std::fmt::Write as _;

use super::{Draft, Look};
use crate::{Files, render};

/// When go.mod names none.
const DEFAULT: &str = "1.25";
/// What programs read at run time from beside them.
const ASSETS: [&str; 6] = ["assets", "migrations", "public", "static", "templates", "views"];

pub(super) fn look(files: &Files<'_>) -> Look {
    let Some(module) = files.text("go.mod") else { return Look::Absent };
    let word = |name: &str| {
        let mut lines = module.lines().map(str::trim);
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::trim)
    };
    let version = word("go").and_then(|text| render::version(text, 2)).unwrap_or_else(|| DEFAULT.to_owned());
    let name = word("module").and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let Some((package, found)) = program(files, name) else {
        return Look::Unfit("go.mod is there, but no main.go at the root or in a folder of cmd/".to_owned());
    };
    let manifests = files.present(&["go.mod", "go.sum", "go.work", "go.work.sum"]);
    // A vendored module has nothing to get; a workspace's members must be there to be read.
    let ahead = !files.has("vendor/modules.txt") && !files.has("go.work") && !module.contains("=> .");
    let mut text = format!("ARG GO_IMAGE=docker.io/library/golang:{version}\n");
    text.push_str("FROM ${GO_IMAGE} AS build\nWORKDIR /src\n");
    if ahead {
        _ = write!(text, "COPY {} ./\nRUN go mod download\n", manifests.join(" "));
    }
    _ = write!(
        text,
        "COPY . .\nARG PACKAGE={package}\n\
         RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /out/app \"$PACKAGE\"\n\n\
         FROM scratch\nWORKDIR /app\n\
         COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/\n"
    );
    for folder in ASSETS.into_iter().filter(|folder| files.has_folder(folder)) {
        _ = writeln!(text, "COPY {folder} ./{folder}");
    }
    text.push_str(
        "COPY --from=build /out/app /app/app\nENV PORT=8080\nUSER 65532:65532\nEXPOSE 8080\nCMD [\"/app/app\"]\n",
    );
    let because = vec![format!("go.mod (Go {version})"), found];
    Look::Fits(Draft { because, port: 8080, containerfile: text, ignore: &[] })
}

/// The package to build and why: at the root, or the one in `cmd/` that has the module's name, or its first.
fn program(files: &Files<'_>, module: &str) -> Option<(String, String)> {
    if files.has("main.go") {
        return Some((".".to_owned(), "main.go".to_owned()));
    }
    let folders: Vec<&str> = files
        .paths()
        .filter_map(|path| path.strip_prefix("cmd/")?.strip_suffix("/main.go"))
        .filter(|name| !name.contains('/') && render::is_plain(name))
        .collect();
    let name = folders.iter().find(|name| **name == module).or(folders.first())?;
    let found = match folders.len() {
        1 => format!("cmd/{name}/main.go"),
        count => format!("cmd/{name}/main.go, of {count} programs in cmd/ (build argument PACKAGE)"),
    };
    Some((format!("./cmd/{name}"), found))
}
