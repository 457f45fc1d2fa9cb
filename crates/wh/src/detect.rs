//! What a folder holds: enough to propose a project file and, without a Containerfile, a first one.

use std::path::Path;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Detected {
    /// Name of the Containerfile or Dockerfile.
    pub(crate) containerfile: Option<String>,
    /// The language, when there is no Containerfile to ask.
    pub(crate) stack: Option<Stack>,
    pub(crate) port: Option<u16>,
    /// One line each, for the user.
    pub(crate) because: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stack {
    Node,
    Go,
    Rust,
    Python,
    Static,
}

/// The files that tell stacks apart, the strongest first: a Node project may well hold an `index.html`.
const SIGNS: [(&str, Stack); 6] = [
    ("Cargo.toml", Stack::Rust),
    ("go.mod", Stack::Go),
    ("package.json", Stack::Node),
    ("pyproject.toml", Stack::Python),
    ("requirements.txt", Stack::Python),
    ("index.html", Stack::Static),
];

/// Looks at the files of `folder` itself.
pub(crate) fn detect(folder: &Path) -> Detected {
    let mut detected = Detected::default();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let containerfile =
        ["Containerfile", "Dockerfile"].into_iter().find_map(|name| Some((name, read(name)?)));
    let sign = SIGNS.into_iter().find_map(|(name, stack)| Some((name, stack, read(name)?)));
    if let Some((name, text)) = containerfile {
        detected.port = exposed_port(&text);
        let port = detected.port.map_or("without EXPOSE".to_owned(), |port| format!("EXPOSE {port}"));
        detected.because.push(format!("{name} ({port})"));
        detected.containerfile = Some(name.to_owned());
    }
    if let Some((name, stack, text)) = sign {
        detected.because.push(format!("{name} ({})", stack.describe(&text)));
        if detected.containerfile.is_none() {
            detected.stack = Some(stack);
            detected.port = Some(stack.port());
        }
    }
    detected
}

/// The first port of the last stage that has an `EXPOSE` for TCP.
fn exposed_port(containerfile: &str) -> Option<u16> {
    let joined = containerfile.replace("\\\r\n", " ").replace("\\\n", " ");
    let mut port = None;
    let mut found_in_stage = false;
    for line in joined.lines() {
        let mut words = line.split_whitespace();
        match words.next().map(str::to_ascii_uppercase).as_deref() {
            Some("FROM") => found_in_stage = false,
            Some("EXPOSE") if !found_in_stage => {
                let tcp = |word: &str| word.strip_suffix("/tcp").unwrap_or(word).parse().ok();
                if let Some(found) = words.find_map(tcp) {
                    port = Some(found);
                    found_in_stage = true;
                }
            }
            _ => {}
        }
    }
    port
}

impl Stack {
    /// What the sign says beyond being there.
    fn describe(self, text: &str) -> &'static str {
        match self {
            Self::Node if has_start_script(text) => "Node.js with a start script",
            Self::Node => "Node.js without a start script",
            Self::Go => "Go",
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::Static => "static files",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Node => 3000,
            Self::Python => 8000,
            Self::Go | Self::Rust | Self::Static => 8080,
        }
    }

    /// A first Containerfile; the user owns it from then on.
    pub(crate) fn containerfile(self) -> &'static str {
        match self {
            Self::Node => {
                "FROM docker.io/library/node:lts-slim\nWORKDIR /app\nCOPY package*.json ./\nRUN npm install --omit=dev\nCOPY . .\nENV NODE_ENV=production PORT=3000\nUSER node\nEXPOSE 3000\nCMD [\"npm\", \"start\"]\n"
            }
            Self::Go => {
                "FROM docker.io/library/golang:1 AS build\nWORKDIR /src\nCOPY . .\nRUN CGO_ENABLED=0 go build -o /out/app .\n\nFROM scratch\nCOPY --from=build /out/app /app\nENV PORT=8080\nUSER 1000\nEXPOSE 8080\nCMD [\"/app\"]\n"
            }
            Self::Rust => {
                "FROM docker.io/library/rust:1 AS build\nWORKDIR /src\nCOPY . .\nRUN cargo install --path . --root /out\n\nFROM docker.io/library/debian:stable-slim\nCOPY --from=build /out/bin/ /app/\nENV PORT=8080\nUSER 1000\nEXPOSE 8080\n# Runs the only binary; name yours when there are several.\nCMD [\"/bin/sh\", \"-c\", \"exec /app/*\"]\n"
            }
            Self::Python => {
                "FROM docker.io/library/python:3-slim\nWORKDIR /app\nCOPY . .\nRUN if [ -f requirements.txt ]; then pip install --no-cache-dir -r requirements.txt; else pip install --no-cache-dir .; fi\nENV PORT=8000 PYTHONUNBUFFERED=1\nUSER 1000\nEXPOSE 8000\n# Put your own start command here.\nCMD [\"python\", \"main.py\"]\n"
            }
            Self::Static => {
                "FROM docker.io/library/busybox:stable\nCOPY . /www\nUSER 1000\nEXPOSE 8080\nCMD [\"busybox\", \"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]\n"
            }
        }
    }
}

fn has_start_script(package: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(package)
        .is_ok_and(|package| package["scripts"]["start"].is_string())
}

/// A name that the API takes, from any text: 1 to 40 of `a-z0-9-`, a letter first.
pub(crate) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.to_lowercase().chars() {
        match c {
            'a'..='z' => slug.push(c),
            '0'..='9' if !slug.is_empty() => slug.push(c),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    slug.truncate(40);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "app".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Detected {
        let folder = tempfile::tempdir().expect("temp dir");
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("write");
        }
        detect(folder.path())
    }

    #[test]
    fn a_containerfile_beats_a_dockerfile_and_every_stack() {
        let detected = found(&[
            ("Containerfile", "FROM x\nEXPOSE 80"),
            ("Dockerfile", "EXPOSE 90"),
            ("package.json", "{}"),
        ]);
        assert_eq!((detected.containerfile.as_deref(), detected.port), (Some("Containerfile"), Some(80)));
        assert_eq!(detected.stack, None);
        assert_eq!(
            detected.because,
            ["Containerfile (EXPOSE 80)", "package.json (Node.js without a start script)"]
        );
    }

    #[test]
    fn expose_is_read_like_podman_reads_it() {
        assert_eq!(exposed_port("FROM a\nEXPOSE 1\nFROM b\nexpose 53/udp \\\n 8080/tcp 9090"), Some(8080));
        assert_eq!(exposed_port("FROM a\nEXPOSE 80\nEXPOSE 81"), Some(80));
        assert_eq!(exposed_port("FROM a\n# EXPOSE 80\nEXPOSE $PORT"), None);
    }

    #[test]
    fn stacks_are_told_apart() {
        for (name, text, stack, port) in [
            ("package.json", r#"{"scripts":{"start":"node ."}}"#, Stack::Node, 3000),
            ("go.mod", "module x", Stack::Go, 8080),
            ("Cargo.toml", "[package]", Stack::Rust, 8080),
            ("requirements.txt", "flask", Stack::Python, 8000),
            ("pyproject.toml", "", Stack::Python, 8000),
            ("index.html", "<p>", Stack::Static, 8080),
        ] {
            let detected = found(&[(name, text)]);
            assert_eq!((detected.stack, detected.port), (Some(stack), Some(port)), "{name}");
        }
        assert_eq!(found(&[("notes.txt", "")]), Detected::default());
    }

    #[test]
    fn every_first_containerfile_exposes_the_port_that_is_proposed() {
        for stack in [Stack::Node, Stack::Go, Stack::Rust, Stack::Python, Stack::Static] {
            assert_eq!(exposed_port(stack.containerfile()), Some(stack.port()), "{stack:?}");
        }
    }

    #[test]
    fn any_folder_name_becomes_a_slug() {
        for (text, expected) in [
            ("My App_2", "my-app-2"),
            ("42-hello--x-", "hello-x"),
            ("日本", "app"),
            ("", "app"),
            ("Ünï", "n"),
        ] {
            assert_eq!(slug(text), expected, "{text}");
        }
        assert_eq!(slug(&"ab-".repeat(30)).len(), 40);
    }
}
