//! What has a package.json: a program, a Next.js app, or a Vite app.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Draft, Look, procfile};
use crate::site::Server;
use crate::{Files, Preset, Site, Unknown, render};

/// When the project names none: the newest line with long support.
const DEFAULT: &str = "24";
const IGNORE: &[&str] = &["**/node_modules", ".next", ".npm"];

/// A package.json and what lies beside it.
struct Project<'a> {
    files: &'a Files<'a>,
    package: Value,
    manager: Manager,
    version: String,
    /// The file that says so, if any.
    version_from: Option<&'static str>,
}

/// The folder whose files a build takes over as they are.
const PUBLIC: &str = "public";

/// What is built to be served as files.
struct FrontEnd<'a> {
    title: &'a str,
    /// For a project without a script `build`.
    tool: &'a str,
    /// Where the result is.
    out: &'a str,
    /// Where files have their version in their names.
    hashed: &'a str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manager {
    Npm { locked: bool },
    Yarn { modern: bool },
    Pnpm,
}

pub(super) fn program(files: &Files<'_>) -> Look {
    let project = match Project::read(files) {
        Ok(project) => project,
        Err(look) => return look,
    };
    let Some((command, found)) = project.start() else {
        return Look::Unfit(
            "package.json has neither a script `start` nor `main`, and there is no Procfile or server.js"
                .to_owned(),
        );
    };
    let mut text = project.image();
    let built = project.script("build").is_some();
    // Without a build there is nothing to leave behind in a stage of its own.
    if built {
        text.push_str("FROM ${NODE_IMAGE} AS build\nWORKDIR /app\n");
        project.install(&mut text, false);
        _ = writeln!(text, "RUN {} run build", project.manager.name());
        if !project.starts_with_tool() {
            text.push_str(project.manager.prune());
        }
        text.push_str("\nFROM ${NODE_IMAGE}\nENV NODE_ENV=production PORT=3000\nWORKDIR /app\n");
        text.push_str("COPY --from=build --chown=node:node /app ./\n");
    } else {
        text.push_str("FROM ${NODE_IMAGE}\nWORKDIR /app\n");
        project.install(&mut text, !project.starts_with_tool());
        text.push_str("ENV NODE_ENV=production PORT=3000\n");
    }
    _ = write!(text, "USER node\nEXPOSE 3000\nCMD {command}\n");
    Look::Fits(project.draft(found, 3000, text))
}

pub(super) fn nextjs(files: &Files<'_>, site: &Site) -> Look {
    // If it cannot be read, the preset `node` says so.
    let Ok(project) = Project::read(files) else { return Look::Absent };
    if !project.depends_on("next") {
        return Look::Absent;
    }
    let settings = ["next.config.js", "next.config.mjs", "next.config.ts", "next.config.cjs"];
    let settings = files.first(&settings).and_then(|name| files.text(name)).unwrap_or_default();
    let output = quoted_after(&settings, "output");
    if output.as_deref() == Some("export") {
        let build =
            FrontEnd { title: "next, exported", tool: "next build", out: "out", hashed: "/_next/static/" };
        let server = Server::read(files, PUBLIC, site, false).map(Server::with_not_found);
        return server.and_then(|server| project.front_end(&build, server, site)).unwrap_or_else(Look::Wrong);
    }
    if let Some(setting) = site.setting() {
        return Look::Wrong(Unknown::no_site(setting, Preset::Nextjs));
    }
    let mut text = project.image();
    text.push_str("FROM ${NODE_IMAGE} AS build\nENV NEXT_TELEMETRY_DISABLED=1\nWORKDIR /app\n");
    project.install(&mut text, false);
    text.push_str(&project.build("next build"));
    // Next.js listens on HOSTNAME, which in a container is its own name.
    text.push_str(
        "\nFROM ${NODE_IMAGE}\n\
         ENV NODE_ENV=production NEXT_TELEMETRY_DISABLED=1 HOSTNAME=0.0.0.0 PORT=3000\nWORKDIR /app\n",
    );
    let copy = "COPY --from=build --chown=node:node /app";
    let found = if output.as_deref() == Some("standalone") {
        _ = write!(text, "{copy}/.next/standalone ./\n{copy}/.next/static ./.next/static\n");
        if files.has_folder("public") {
            _ = writeln!(text, "{copy}/public ./public");
        }
        text.push_str("USER node\nEXPOSE 3000\nCMD [\"node\", \"server.js\"]\n");
        "next, as a standalone server"
    } else {
        _ = writeln!(text, "{copy} ./");
        text.push_str("USER node\nEXPOSE 3000\nCMD [\"node_modules/.bin/next\", \"start\"]\n");
        "next"
    };
    Look::Fits(project.draft(found.to_owned(), 3000, text))
}

pub(super) fn vite(files: &Files<'_>, site: &Site) -> Look {
    let Ok(project) = Project::read(files) else { return Look::Absent };
    // Without a page of its own it is a server that is built with Vite; with a server of its own, it is that one's.
    let serves = project.script("start").is_some_and(|start| !start.starts_with("vite"));
    if !project.depends_on("vite") || !files.has("index.html") || serves {
        return Look::Absent;
    }
    let settings = ["vite.config.ts", "vite.config.js", "vite.config.mts", "vite.config.mjs"];
    let settings = files.first(&settings).and_then(|name| files.text(name)).unwrap_or_default();
    let out = quoted_after(&settings, "outDir").filter(|out| render::is_plain(out));
    let out = out.as_deref().map_or("dist", |out| out.trim_start_matches("./").trim_end_matches('/'));
    let build = FrontEnd { title: "vite, built", tool: "vite build", out, hashed: "/assets/" };
    let server = Server::read(files, PUBLIC, site, true);
    server.and_then(|server| project.front_end(&build, server, site)).unwrap_or_else(Look::Wrong)
}

impl<'a> Project<'a> {
    fn read(files: &'a Files<'a>) -> Result<Self, Look> {
        let Some(text) = files.text("package.json") else { return Err(Look::Absent) };
        let package: Value = serde_json::from_str(&text)
            .map_err(|error| Look::Unfit(format!("package.json cannot be read: {error}")))?;
        let manager = if files.has("pnpm-lock.yaml") {
            Manager::Pnpm
        } else if files.has("yarn.lock") {
            Manager::Yarn { modern: files.has(".yarnrc.yml") }
        } else {
            Manager::Npm { locked: files.first(&["package-lock.json", "npm-shrinkwrap.json"]).is_some() }
        };
        let file = |name: &'static str| Some((render::version(&files.text(name)?, 1)?, name));
        let engines = || {
            // `>=20` leaves the choice, and a range of several is not worth guessing.
            let range = package["engines"]["node"].as_str()?.trim();
            let fixed = !range.contains(['<', '>', '|', '*', ' ']);
            Some((render::version(range, 1).filter(|_| fixed)?, "package.json"))
        };
        let found = file(".nvmrc").or_else(|| file(".node-version")).or_else(engines);
        let (version, version_from) =
            found.map_or((DEFAULT.to_owned(), None), |(version, name)| (version, Some(name)));
        Ok(Self { files, package, manager, version, version_from })
    }

    fn script(&self, name: &str) -> Option<&str> {
        self.package["scripts"][name]
            .as_str()
            .map(str::trim)
            .filter(|script| !script.is_empty() && script.len() <= render::LONGEST)
    }

    fn depends_on(&self, name: &str) -> bool {
        ["dependencies", "devDependencies"].iter().any(|kind| self.package[kind].get(name).is_some())
    }

    /// The command as `CMD` takes it, and where it is from. A plain `node …` runs without npm, which would stand
    /// between it and signals.
    fn start(&self) -> Option<(String, String)> {
        if let Some(command) = procfile(self.files) {
            return Some((render::command(&command), "Procfile".to_owned()));
        }
        if let Some(script) = self.script("start") {
            let direct = script.starts_with("node ") && self.script("prestart").is_none();
            let manager = self.manager.name();
            let command =
                if direct { render::command(script) } else { render::words(&[manager, "run", "start"]) };
            return Some((command, "script `start`".to_owned()));
        }
        let main =
            self.package["main"].as_str().filter(|main| render::is_plain(main) && self.files.has(main));
        let file = main.or_else(|| self.files.first(&["server.js", "server.mjs"]))?;
        Some((render::words(&["node", file]), file.to_owned()))
    }

    /// Whether what `start` calls is a tool among the development dependencies, such as `tsx`.
    fn starts_with_tool(&self) -> bool {
        let tool = self.script("start").and_then(|script| script.split_whitespace().next());
        tool.is_some_and(|tool| self.package["devDependencies"].get(tool).is_some())
    }

    fn image(&self) -> String {
        format!("ARG NODE_IMAGE=docker.io/library/node:{}-slim\n", self.version)
    }

    /// Dependencies before sources, so that they are installed anew only when they change; unless the installation
    /// itself looks at the sources.
    fn install(&self, text: &mut String, production: bool) {
        if let Some(corepack) = self.manager.corepack() {
            text.push_str(corepack);
        }
        let hooks = ["preinstall", "install", "postinstall", "prepare"];
        let looks = hooks.iter().any(|hook| self.script(hook).is_some())
            || self.package.get("workspaces").is_some()
            || self.package.get("pnpm").is_some()
            || self.files.has("pnpm-workspace.yaml")
            || [".yarn", "patches", "prisma"].iter().any(|folder| self.files.has_folder(folder));
        if looks {
            text.push_str("COPY . .\n");
        } else {
            let manifests = [
                "package.json",
                "package-lock.json",
                "npm-shrinkwrap.json",
                "yarn.lock",
                "pnpm-lock.yaml",
                ".npmrc",
                ".yarnrc.yml",
            ];
            _ = writeln!(text, "COPY {} ./", self.files.present(&manifests).join(" "));
        }
        _ = writeln!(text, "RUN {}", self.manager.install(production));
        if !looks {
            text.push_str("COPY . .\n");
        }
    }

    fn build(&self, otherwise: &str) -> String {
        match self.script("build") {
            Some(_) => format!("RUN {} run build\n", self.manager.name()),
            None => format!("RUN npx {otherwise}\n"),
        }
    }

    fn front_end(&self, build: &FrontEnd<'_>, server: Server<'_>, site: &Site) -> Result<Look, Unknown> {
        let out = site.folder()?.unwrap_or(build.out);
        let mut text = self.image() + &Server::argument() + "\nFROM ${NODE_IMAGE} AS build\nWORKDIR /app\n";
        self.install(&mut text, false);
        text.push_str(&self.build(build.tool));
        let server = server.hashed(build.hashed);
        server.stages(&mut text, &format!("COPY --from=build /app/{out}"));
        let mut draft = self.draft(format!("{} to {out}/", build.title), 8080, text);
        draft.because.extend(server.because);
        Ok(Look::Fits(draft))
    }

    fn draft(&self, found: String, port: u16, containerfile: String) -> Draft {
        let version = match self.version_from {
            Some(file) => format!("Node.js {} ({file})", self.version),
            None => format!("Node.js {}", self.version),
        };
        let lock = match self.manager {
            Manager::Npm { locked: true } => "npm with a lock file",
            Manager::Npm { locked: false } => {
                "npm without a lock file: versions may change from build to build"
            }
            Manager::Yarn { .. } => "yarn.lock",
            Manager::Pnpm => "pnpm-lock.yaml",
        };
        let because = vec![format!("package.json ({found})"), version, lock.to_owned()];
        Draft { because, port, containerfile, ignore: IGNORE }
    }
}

impl Manager {
    fn name(self) -> &'static str {
        match self {
            Self::Npm { .. } => "npm",
            Self::Yarn { .. } => "yarn",
            Self::Pnpm => "pnpm",
        }
    }

    /// What brings the manager in the version that the project names.
    fn corepack(self) -> Option<&'static str> {
        let needed = !matches!(self, Self::Npm { .. });
        needed.then_some("RUN npm install --global corepack@latest && corepack enable\n")
    }

    fn install(self, production: bool) -> &'static str {
        match (self, production) {
            (Self::Npm { locked: true }, true) => "npm ci --omit=dev",
            (Self::Npm { locked: true }, false) => "npm ci",
            (Self::Npm { locked: false }, true) => "npm install --omit=dev",
            (Self::Npm { locked: false }, false) => "npm install",
            (Self::Yarn { modern: true }, _) => "yarn install --immutable",
            (Self::Yarn { modern: false }, true) => "yarn install --frozen-lockfile --production",
            (Self::Yarn { modern: false }, false) => "yarn install --frozen-lockfile",
            (Self::Pnpm, true) => "pnpm install --frozen-lockfile --prod",
            (Self::Pnpm, false) => "pnpm install --frozen-lockfile",
        }
    }

    /// Takes development dependencies out after the build. Yarn has no word for it.
    fn prune(self) -> &'static str {
        match self {
            Self::Npm { .. } => "RUN npm prune --omit=dev\n",
            Self::Yarn { .. } => "",
            Self::Pnpm => "RUN CI=true pnpm prune --prod --ignore-scripts\n",
        }
    }
}

/// The text in quotes after `key:` in a settings file that is a program.
fn quoted_after(text: &str, key: &str) -> Option<String> {
    let rest = text.split_once(key)?.1.trim_start().strip_prefix(':')?.trim_start();
    let quote = rest.chars().next().filter(|char| matches!(char, '"' | '\'' | '`'))?;
    Some(rest[1..].split_once(quote)?.0.to_owned())
}
