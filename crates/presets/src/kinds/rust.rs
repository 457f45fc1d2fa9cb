//! Rust programs.

use std::fmt::Write as _;

use toml::{Table, Value};

use super::{Draft, Look};
use crate::{Files, render};

/// What programs read at run time from beside them.
const ASSETS: [&str; 6] = ["assets", "migrations", "public", "static", "templates", "views"];

/// A program that could be built.
struct Program {
    name: String,
    /// Of the package's folder: empty at the root.
    folder: String,
}

pub(super) fn look(files: &Files<'_>) -> Look {
    let Some(text) = files.text("Cargo.toml") else { return Look::Absent };
    let manifest: Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => {
            let problem: toml::de::Error = error;
            return Look::Unfit(format!("Cargo.toml cannot be read: {}", problem.message()));
        }
    };
    let programs = programs(files, &manifest);
    let Some(program) = programs.first() else {
        return Look::Unfit(
            "Cargo.toml is there, but no program: neither src/main.rs nor [[bin]]".to_owned(),
        );
    };
    let locked = files.has("Cargo.lock");
    let flags = if locked { "--release --locked" } else { "--release" };
    let mut text = "ARG RUST_IMAGE=docker.io/library/rust:1-trixie\n\
         ARG RUNTIME_IMAGE=docker.io/library/debian:trixie-slim\n\n\
         FROM ${RUST_IMAGE} AS build\nWORKDIR /src\n"
        .to_owned();
    if let Some(ahead) = dependencies_ahead(files, &manifest, flags) {
        text.push_str(&ahead);
    } else {
        text.push_str("COPY . .\n");
    }
    _ = write!(
        text,
        "ARG BIN={}\n\
         RUN cargo build {flags} --bin \"$BIN\" && cp \"target/release/$BIN\" /app\n\n\
         FROM ${{RUNTIME_IMAGE}}\nWORKDIR /srv\n\
         COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/\n",
        program.name
    );
    for folder in ASSETS.into_iter().filter(|folder| program.folder.is_empty() && files.has_folder(folder)) {
        _ = writeln!(text, "COPY {folder} ./{folder}");
    }
    text.push_str(
        "COPY --from=build /app /usr/local/bin/app\nENV PORT=8080\nUSER 65532:65532\nEXPOSE 8080\nCMD [\"app\"]\n",
    );
    let found = match programs.len() {
        1 => format!("program {}", program.name),
        count => format!("program {} of {count} (build argument BIN)", program.name),
    };
    let lock = if locked { "Cargo.lock" } else { "no Cargo.lock: versions may change from build to build" };
    let because = vec![format!("Cargo.toml ({found})"), lock.to_owned()];
    Look::Fits(Draft { because, port: 8080, containerfile: text, ignore: &["target"] })
}

/// Programs of the package and of the workspace's members, the likeliest first.
fn programs(files: &Files<'_>, manifest: &Table) -> Vec<Program> {
    let mut found = of_package(files, manifest, "");
    if manifest.contains_key("workspace") {
        let members: Vec<&str> = files
            .paths()
            .filter_map(|path| path.strip_suffix("/Cargo.toml"))
            .filter(|folder| render::is_plain(folder))
            .collect();
        for folder in members {
            let manifest =
                files.text(&format!("{folder}/Cargo.toml")).and_then(|text| text.parse::<Table>().ok());
            found.extend(manifest.into_iter().flat_map(|manifest| of_package(files, &manifest, folder)));
        }
    }
    found
}

fn of_package(files: &Files<'_>, manifest: &Table, folder: &str) -> Vec<Program> {
    let package = manifest.get("package").and_then(Value::as_table);
    let word = |key: &str| package.and_then(|package| package.get(key)).and_then(Value::as_str);
    let Some(name) = word("name") else { return Vec::new() };
    let in_package =
        |path: &str| if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") };
    let mut names: Vec<String> = manifest
        .get("bin")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|bin| bin.get("name")?.as_str())
        .map(str::to_owned)
        .collect();
    if names.is_empty() && files.has(&in_package("src/main.rs")) {
        names.push(name.to_owned());
    }
    let more = in_package("src/bin/");
    names.extend(
        files.paths().filter_map(|path| path.strip_prefix(&more)?.strip_suffix(".rs")).map(str::to_owned),
    );
    if let Some(at) =
        word("default-run").or(Some(name)).and_then(|first| names.iter().position(|name| name == first))
    {
        names.swap(0, at);
    }
    names.retain(|name| render::is_plain(name));
    names.into_iter().map(|name| Program { name, folder: folder.to_owned() }).collect()
}

/// Dependencies compiled with an empty program, so that they are compiled anew only when they change. Only for a
/// package so plain that nothing but its manifest counts.
fn dependencies_ahead(files: &Files<'_>, manifest: &Table, flags: &str) -> Option<String> {
    let plain = files.has("src/main.rs")
        && !files.has("build.rs")
        && !files.has_folder("src/bin")
        && ["workspace", "bin", "lib", "bench", "example", "test", "patch"]
            .iter()
            .all(|key| !manifest.contains_key(*key))
        && !manifest.to_string().contains("path = ")
        && manifest.get("package")?.get("build").is_none();
    if !plain {
        return None;
    }
    let manifests =
        files.present(&["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "rust-toolchain"]).join(" ");
    let library = if files.has("src/lib.rs") { " && touch src/lib.rs" } else { "" };
    let sources = if files.has("src/lib.rs") { "src/main.rs src/lib.rs" } else { "src/main.rs" };
    Some(format!(
        "COPY {manifests} ./\n\
         RUN mkdir src && echo 'fn main() {{}}' > src/main.rs{library} && cargo build {flags} && rm -r src\n\
         COPY . .\n\
         # Newer than what was compiled above, whatever the time in the source.\n\
         RUN touch {sources}\n"
    ))
}
