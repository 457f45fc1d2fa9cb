//! Files served as they are.

use super::{Draft, Look};
use crate::site::Server;
use crate::{Files, Site, Unknown, render};

/// Where pages are, the first that has an `index.html`.
const FOLDERS: [&str; 7] = [".", "public", "dist", "build", "www", "site", "_site"];

/// busybox knows the old types only.
const TYPES: [&str; 8] = [
    ".avif:image/avif",
    ".json:application/json",
    ".mjs:text/javascript",
    ".svg:image/svg+xml",
    ".wasm:application/wasm",
    ".webmanifest:application/manifest+json",
    ".webp:image/webp",
    ".woff2:font/woff2",
];

/// Everything that is copied can be asked for by anyone.
const IGNORE: &[&str] = &["**/.env", "**/.env.*", "**/.htpasswd", "**/.git", "node_modules"];

pub(super) fn look(files: &Files<'_>, site: &Site) -> Result<Look, Unknown> {
    let page = |folder: &str, name: &str| {
        if folder == "." { files.has(name) } else { files.has(&format!("{folder}/{name}")) }
    };
    let (folder, found) = match site.folder()? {
        Some(folder) if folder == "." || files.has_folder(folder) => {
            (folder, format!("{folder}/ to publish"))
        }
        Some(folder) => {
            let message = format!("the source has no folder `{folder}`, which `publish` names");
            return Err(Unknown::site(message, "Correct `publish` in [build], or take it out"));
        }
        None => match FOLDERS.into_iter().find(|folder| page(folder, "index.html")) {
            Some(".") => (".", "index.html".to_owned()),
            Some(folder) => (folder, format!("{folder}/index.html")),
            None => return Ok(Look::Absent),
        },
    };
    let server = Server::read(files, folder, site, false)?;
    let mut because = vec![found];
    let containerfile = if server.is_plain() {
        let missing = page(folder, "404.html");
        because.extend(missing.then(|| "404.html for what is not there".to_owned()));
        busybox(folder, missing)
    } else {
        let mut text = Server::argument() + "FROM ${SERVER_IMAGE} AS build\n";
        server.stages(&mut text, &format!("COPY {folder}"));
        because.extend(server.because);
        text
    };
    Ok(Look::Fits(Draft { because, port: 8080, containerfile, ignore: IGNORE }))
}

fn busybox(folder: &str, missing: bool) -> String {
    let mut settings: Vec<String> = TYPES.iter().map(|kind| format!("'{kind}'")).collect();
    settings.extend(missing.then(|| "'E404:/www/404.html'".to_owned()));
    format!(
        "ARG SERVER_IMAGE=docker.io/library/busybox:stable\n\
         FROM ${{SERVER_IMAGE}}\n\
         RUN printf '%s\\n' \\\n      {} > /etc/httpd.conf\n\
         COPY {folder} /www\n\
         ENV PORT=8080\n\
         USER 65534:65534\n\
         EXPOSE 8080\n\
         CMD {}\n",
        settings.join(" \\\n      "),
        render::words(&["sh", "-c", "exec httpd -f -v -p \"$PORT\" -h /www -c /etc/httpd.conf"]),
    )
}
