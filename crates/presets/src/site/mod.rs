//! Files that nginx serves: what the app's settings and the site's own `_redirects` and `_headers` say about it.

mod headers;
mod pattern;
mod redirects;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use headers::Header;
use pattern::escaped;
use redirects::Redirects;

use crate::{Files, Unknown, render};

/// Serves files and needs no root.
const NGINX: &str = "docker.io/nginxinc/nginx-unprivileged:stable-alpine";
/// Bytes of configuration: it goes through one argument of a shell, which Linux allows 128 KiB.
const LARGEST: usize = 96 * 1024;

/// What an app's settings say about the files that it serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Site {
    /// The folder that is served: of the source, or of what is built of it.
    pub publish: Option<String>,
    /// Whether `index.html` is served for paths that are no file.
    pub spa: Option<bool>,
}

impl Site {
    /// A setting that says something.
    pub fn setting(&self) -> Option<&'static str> {
        let publish = self.publish.as_ref().map(|_| "publish");
        publish.or(self.spa.map(|_| "spa"))
    }

    /// The folder to serve, fit to stand in a Containerfile.
    pub(crate) fn folder(&self) -> Result<Option<&str>, Unknown> {
        let Some(publish) = &self.publish else { return Ok(None) };
        let folder = publish.trim_start_matches("./").trim_end_matches('/');
        let folder = if folder.is_empty() { "." } else { folder };
        if render::is_plain(folder) {
            return Ok(Some(folder));
        }
        let message = format!("`publish` is {}, which is no folder of the source", pattern::shown(publish));
        Err(Unknown::site(
            message,
            "Name a folder below the one that is built, with letters, digits, `-`, `_` and `.`",
        ))
    }
}

/// Something in a line of a file cannot be done.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    line: usize,
    what: String,
}

/// How files are served.
#[derive(Debug)]
pub(crate) struct Server<'a> {
    /// Of which files the rules are, for people.
    pub(crate) because: Vec<String>,
    redirects: Redirects,
    headers: Vec<Header>,
    /// For paths that are no file.
    fallback: Option<String>,
    not_found: Option<String>,
    /// Files below this path have their version in their names.
    hashed: Option<&'a str>,
}

impl<'a> Server<'a> {
    /// With the rules in `folder`, which is what is served or becomes a part of it. `spa` without a setting.
    pub(crate) fn read(files: &Files<'_>, folder: &str, site: &Site, spa: bool) -> Result<Self, Unknown> {
        let path = |name: &str| if folder == "." { name.to_owned() } else { format!("{folder}/{name}") };
        let text = |name: &str| {
            let name = path(name);
            match files.text(&name) {
                None if files.has(&name) => Err(Unknown::site(
                    format!("{name} cannot be read, or is no text of at most 256 KiB"),
                    "Make it shorter",
                )),
                text => Ok(text.unwrap_or_default()),
            }
        };
        let wrong = |name: &str, problem: Problem| {
            let message = format!("{} line {}: {}", path(name), problem.line, problem.what);
            Unknown::site(message, "Correct that line; docs/presets.md tells what the rules may say")
        };
        let redirects =
            Redirects::parse(&text("_redirects")?).map_err(|problem| wrong("_redirects", problem))?;
        let headers = headers::parse(&text("_headers")?).map_err(|problem| wrong("_headers", problem))?;
        let mut because = Vec::new();
        for (name, count) in [("_redirects", redirects.len()), ("_headers", headers.len())] {
            if files.has(&path(name)) {
                because.push(format!(
                    "{} ({count} {})",
                    path(name),
                    if count == 1 { "rule" } else { "rules" }
                ));
            }
        }
        let whole = |instead: &&redirects::Instead| instead.from.text() == "/*";
        let fallback = redirects.instead.iter().find(whole).map(|instead| instead.file.clone());
        let fallback = fallback.or_else(|| site.spa.unwrap_or(spa).then(|| "/index.html".to_owned()));
        if site.spa == Some(true) {
            because.push("index.html for every path that is no file".to_owned());
        }
        let not_found = redirects.not_found.clone();
        let not_found = not_found.or_else(|| files.has(&path("404.html")).then(|| "/404.html".to_owned()));
        let server = Self { because, redirects, headers, fallback, not_found, hashed: None };
        if server.configuration().iter().map(|line| line.len() + 8).sum::<usize>() > LARGEST {
            let message = "_redirects and _headers have more rules than one server can be given".to_owned();
            return Err(Unknown::site(message, "Say more with fewer rules, for example with `*`"));
        }
        Ok(server)
    }

    /// Files below `path` never change, as their names have their version.
    pub(crate) fn hashed(mut self, path: &'a str) -> Self {
        self.hashed = Some(path);
        self
    }

    /// The build makes a page for paths that lead nowhere.
    pub(crate) fn with_not_found(mut self) -> Self {
        self.not_found.get_or_insert_with(|| "/404.html".to_owned());
        self
    }

    /// Whether a server that knows files alone would do: there are no rules, and every path has its own file.
    pub(crate) fn is_plain(&self) -> bool {
        self.because.is_empty() && self.fallback.is_none()
    }

    /// Declares the image; before the first stage.
    pub(crate) fn argument() -> String {
        format!("ARG SERVER_IMAGE={NGINX}\n")
    }

    /// Ends the stage `build` and serves what `copy` copies to `/www`.
    pub(crate) fn stages(&self, text: &mut String, copy: &str) {
        // Of the text, quotes alone mean anything to the shell.
        let lines: Vec<String> =
            self.configuration().iter().map(|line| format!("'{}'", line.replace('\'', r"'\''"))).collect();
        _ = write!(
            text,
            "RUN printf '%s\\n' \\\n      {} > /tmp/site.conf\n\n\
             FROM ${{SERVER_IMAGE}}\n\
             ENV PORT=8080 NGINX_ENVSUBST_FILTER=PORT\n\
             COPY --from=build /tmp/site.conf /etc/nginx/templates/default.conf.template\n\
             {copy} /www\n\
             USER 101\n\
             EXPOSE 8080\n",
            lines.join(" \\\n      "),
        );
    }

    /// nginx's, line by line.
    fn configuration(&self) -> Vec<String> {
        let mut maps = Vec::new();
        let mut server =
            vec!["server {".to_owned(), "  listen ${PORT};".to_owned(), "  root /www;".to_owned()];
        // Outside, the scheme and the port are others.
        server.push("  absolute_redirect off;".to_owned());
        self.header_lines(&mut maps, &mut server);
        if let Some(page) = &self.not_found {
            server.push(format!("  error_page 404 \"{page}\";"));
        }
        for rule in &self.redirects.away {
            server.push(format!(
                "  if ($request_uri ~ \"{}\") {{ return {} \"{}\"; }}",
                rule.from.of_request(),
                rule.status,
                rule.to
            ));
        }
        self.locations(&mut server);
        server.push("}".to_owned());
        maps.extend(server);
        maps
    }

    /// A variable for each, as nginx sends no header whose value is empty.
    fn header_lines(&self, maps: &mut Vec<String>, server: &mut Vec<String>) {
        let own_caching = self.headers.iter().any(|header| header.name.eq_ignore_ascii_case("cache-control"));
        let hashed = self.hashed.filter(|_| !own_caching).map(|path| {
            let regex = format!("^{}", escaped(path));
            (regex, "Cache-Control", "public, max-age=31536000, immutable", "")
        });
        let written = self
            .headers
            .iter()
            .map(|header| (header.on.of_path(), header.name.as_str(), header.value.as_str(), " always"));
        let all: Vec<_> = hashed.into_iter().chain(written).collect();
        if all.is_empty() {
            return;
        }
        // The path that was asked for: read first here, and kept when another file is served in its place.
        maps.extend(["map $uri $asked {", "  default $uri;", "}"].map(str::to_owned));
        server.push("  set $path $asked;".to_owned());
        for (number, (regex, name, value, always)) in (1..).zip(all) {
            let value = value.replace('\\', r"\\").replace('"', "\\\"");
            maps.push(format!("map $asked $header_{number} {{"));
            maps.push(format!("  \"~{regex}\" \"{value}\";"));
            maps.push("}".to_owned());
            server.push(format!("  add_header {name} $header_{number}{always};"));
        }
    }

    fn locations(&self, server: &mut Vec<String>) {
        let instead = &self.redirects.instead;
        for rule in instead.iter().filter(|rule| rule.from.text() != "/*") {
            let location = match rule.from.folder() {
                Some(folder) => format!("\"{folder}\""),
                None => format!("= \"{}\"", rule.from.text()),
            };
            server.push(format!(
                "  location {location} {{ try_files $uri $uri.html $uri/ \"{}\" =404; }}",
                rule.file
            ));
        }
        let has = |path: &str| instead.iter().any(|rule| rule.from.folder() == Some(path));
        if let Some(path) = self.hashed.filter(|path| !has(path)) {
            server.push(format!("  location {path} {{ try_files $uri =404; }}"));
        }
        server.push("  location ~ ^/_(headers|redirects)$ { return 404; }".to_owned());
        let fallback = self.fallback.as_ref().map(|file| format!(" \"{file}\"")).unwrap_or_default();
        server.push(format!("  location / {{ try_files $uri $uri.html $uri/{fallback} =404; }}"));
    }
}
