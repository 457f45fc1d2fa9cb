//! Python programs.

use std::fmt::Write as _;

use super::{Draft, Look, procfile};
use crate::{Files, render};

/// When the project names none.
const DEFAULT: &str = "3.13";
/// Where programs begin, in this order.
const PROGRAMS: [&str; 7] =
    ["main.py", "app.py", "server.py", "wsgi.py", "asgi.py", "app/main.py", "src/main.py"];

/// How dependencies are said.
#[derive(Clone, Copy)]
enum Manifest {
    Requirements,
    Uv,
    Poetry,
    Project,
    Pipfile,
}

/// How the program begins.
struct Start {
    command: String,
    found: String,
    /// A server that the command needs.
    server: Option<&'static str>,
}

pub(super) fn look(files: &Files<'_>) -> Look {
    let Some(manifest) = Manifest::of(files) else { return Look::Absent };
    let names: Vec<String> = ["requirements.txt", "pyproject.toml", "Pipfile"]
        .iter()
        .filter_map(|name| files.text(name))
        .collect();
    let dependencies = names.join("\n").to_lowercase();
    let Some(start) = start(files, &dependencies) else {
        return Look::Unfit(format!(
            "{} is there, but nothing says how it starts: no Procfile, manage.py, main.py or app.py",
            manifest.file()
        ));
    };
    let named = |name: &'static str| Some((render::version(&files.text(name)?, 2)?, name));
    let version = named(".python-version")
        .or_else(|| named("runtime.txt"))
        .filter(|(version, _)| version.contains('.'));
    let because = vec![
        format!("{} ({})", manifest.file(), start.found),
        match &version {
            Some((version, file)) => format!("Python {version} ({file})"),
            None => format!("Python {DEFAULT}"),
        },
    ];
    let version = version.map_or(DEFAULT.to_owned(), |(version, _)| version);
    let server = start.server.filter(|server| !dependencies.contains(server));
    let mut text = format!(
        "ARG PYTHON_IMAGE=docker.io/library/python:{version}-slim\n\
         FROM ${{PYTHON_IMAGE}} AS build\n\
         ENV VIRTUAL_ENV=/opt/venv PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1\n\
         RUN python -m venv /opt/venv\nWORKDIR /app\n"
    );
    text.push_str(&manifest.install(files));
    if let Some(server) = server {
        _ = writeln!(text, "RUN pip install {server}");
    }
    _ = write!(
        text,
        "\nFROM ${{PYTHON_IMAGE}}\n\
         ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PORT=8000\n\
         WORKDIR /app\n\
         COPY --from=build /opt/venv /opt/venv\n\
         COPY . .\n\
         USER 1000:1000\n\
         EXPOSE 8000\n\
         CMD {}\n",
        render::command(&start.command)
    );
    let ignore = &["**/__pycache__", ".venv", "venv"];
    Look::Fits(Draft { because, port: 8000, containerfile: text, ignore })
}

fn start(files: &Files<'_>, dependencies: &str) -> Option<Start> {
    if let Some(command) = procfile(files) {
        return Some(Start { command, found: "Procfile".to_owned(), server: None });
    }
    let gunicorn = |module: &str, found: String| Start {
        command: format!("gunicorn --bind 0.0.0.0:$PORT {module}"),
        found,
        server: Some("gunicorn"),
    };
    if files.has("manage.py") {
        let settings = files.paths().find_map(|path| path.strip_suffix("/wsgi.py"));
        let project = settings.filter(|folder| !folder.contains('/') && render::is_plain(folder))?;
        return Some(gunicorn(&format!("{project}.wsgi"), "Django".to_owned()));
    }
    let file = files.first(&PROGRAMS)?;
    let module = file.trim_end_matches(".py").trim_start_matches("src/").replace('/', ".");
    let text = files.text(file).unwrap_or_default();
    for (library, call) in [("fastapi", "FastAPI("), ("starlette", "Starlette(")] {
        if let Some(name) = dependencies.contains(library).then(|| variable(&text, call)).flatten() {
            let place = if file.starts_with("src/") { " --app-dir src" } else { "" };
            return Some(Start {
                command: format!("uvicorn --host 0.0.0.0 --port $PORT{place} {module}:{name}"),
                found: format!("{library} in {file}"),
                server: Some("uvicorn"),
            });
        }
    }
    if dependencies.contains("flask")
        && let Some(name) = variable(&text, "Flask(")
    {
        let place = if file.starts_with("src/") { "--chdir src " } else { "" };
        return Some(gunicorn(&format!("{place}{module}:{name}"), format!("flask in {file}")));
    }
    Some(Start { command: format!("python {file}"), found: file.to_owned(), server: None })
}

/// The name in `name = Call(…)`.
fn variable<'t>(text: &'t str, call: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        let name = name.split(':').next()?.trim_end();
        let plain = !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_');
        (plain && value.trim_start().starts_with(call)).then_some(name)
    })
}

impl Manifest {
    fn of(files: &Files<'_>) -> Option<Self> {
        if files.has("pyproject.toml") && files.has("uv.lock") {
            Some(Self::Uv)
        } else if files.has("pyproject.toml") && files.has("poetry.lock") {
            Some(Self::Poetry)
        } else if files.has("requirements.txt") {
            Some(Self::Requirements)
        } else if files.has("Pipfile") {
            Some(Self::Pipfile)
        } else {
            files.has("pyproject.toml").then_some(Self::Project)
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Requirements => "requirements.txt",
            Self::Uv => "uv.lock",
            Self::Poetry => "poetry.lock",
            Self::Project => "pyproject.toml",
            Self::Pipfile => "Pipfile",
        }
    }

    /// Into /opt/venv; before the sources are there, where that is possible.
    fn install(self, files: &Files<'_>) -> String {
        match self {
            Self::Requirements => {
                let text = files.text("requirements.txt").unwrap_or_default();
                // Other files, or the project itself.
                let looks = text.lines().any(|line| line.trim_start().starts_with(['-', '.']));
                let copy = if looks { "COPY . ." } else { "COPY requirements.txt ./" };
                format!("{copy}\nRUN pip install -r requirements.txt\n")
            }
            Self::Uv => "COPY pyproject.toml uv.lock ./\n\
                 RUN pip install uv && UV_PROJECT_ENVIRONMENT=/opt/venv uv sync --frozen --no-dev --no-install-project\n"
                .to_owned(),
            Self::Poetry => "COPY pyproject.toml poetry.lock ./\n\
                 RUN pip install poetry && poetry install --only main --no-root\n"
                .to_owned(),
            Self::Project => "COPY . .\nRUN pip install .\n".to_owned(),
            Self::Pipfile => {
                let files = files.present(&["Pipfile", "Pipfile.lock"]);
                let how = if files.len() == 2 { "--deploy" } else { "--skip-lock" };
                format!("COPY {} ./\nRUN pip install pipenv && pipenv install {how}\n", files.join(" "))
            }
        }
    }
}
