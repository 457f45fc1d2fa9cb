//! Files served as they are.

use super::{Draft, Look};
use crate::{Files, render};

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

pub(super) fn look(files: &Files<'_>) -> Look {
    let page = |folder: &str, name: &str| {
        if folder == "." { files.has(name) } else { files.has(&format!("{folder}/{name}")) }
    };
    let Some(folder) = FOLDERS.into_iter().find(|folder| page(folder, "index.html")) else {
        return Look::Absent;
    };
    let mut settings: Vec<String> = TYPES.iter().map(|kind| format!("'{kind}'")).collect();
    let mut because = vec![match folder {
        "." => "index.html".to_owned(),
        folder => format!("{folder}/index.html"),
    }];
    if page(folder, "404.html") {
        settings.push("'E404:/www/404.html'".to_owned());
        because.push("404.html for what is not there".to_owned());
    }
    let containerfile = format!(
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
    );
    // Everything that is copied can be asked for by anyone.
    let ignore = &["**/.env", "**/.env.*", "**/.htpasswd", "**/.git", "node_modules"];
    Look::Fits(Draft { because, port: 8080, containerfile, ignore })
}
