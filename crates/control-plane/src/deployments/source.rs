//! What a source may be, before any tool on a worker gets to see it.

use protocol::job::Source;

use crate::http::{Code, Error, Result};

/// Checks a source by its form. Whether an archive exists is for the store to say.
pub fn check(source: &Source) -> Result<()> {
    match source {
        Source::Archive { .. } => Ok(()),
        Source::Git { url, r#ref, submodules: _, lfs: _ } => {
            check_git_url(url)?;
            check_ref(r#ref)
        }
        Source::Image { reference } => check_image(reference),
    }
}

fn wrong(field: &str, message: &str, hint: &str) -> Error {
    Error::new(Code::SourceInvalid, message).field(format!("source.{field}")).hint(hint)
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn check_git_url(text: &str) -> Result<()> {
    let scp = |text: &str| {
        text.split_once(':').is_some_and(|(host, path)| {
            let (user, host) = host.split_once('@').unwrap_or(("git", host));
            let word = |text: &str| {
                text.starts_with(|first: char| first.is_ascii_alphanumeric())
                    && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            };
            word(user) && word(host) && !path.is_empty() && !path.starts_with(['-', ':', '/'])
        })
    };
    let url = |text: &str| {
        url::Url::parse(text).is_ok_and(|url| {
            matches!(url.scheme(), "https" | "http" | "ssh" | "git")
                && url.host_str().is_some_and(|host| !host.is_empty() && !host.starts_with('-'))
                && !url.username().starts_with('-')
        })
    };
    let known = if text.contains("://") { url(text) } else { scp(text) };
    if is_plain(text) && !text.starts_with('-') && known {
        return if has_password(text) {
            Err(wrong(
                "url",
                "an address with a password in it is seen by everybody who sees the app",
                "Store it with `wh git token`, and leave it out of the address",
            ))
        } else {
            Ok(())
        };
    }
    Err(wrong(
        "url",
        "this is not the address of a git repository",
        "Use https://, http://, ssh:// or git://, or git@host:path",
    ))
}

fn has_password(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        // Some hosts take a token for the user's name, over HTTPS; over SSH a name is needed, and no secret.
        url.password().is_some() || matches!(url.scheme(), "https" | "http") && !url.username().is_empty()
    })
}

/// As `git check-ref-format`, and never an option or a range.
fn check_ref(text: &str) -> Result<()> {
    let good = is_plain(text)
        && !text.starts_with(['-', '/', '.'])
        && !text.ends_with(['/', '.'])
        && !text.contains("..")
        && !text.contains("@{")
        && !text.contains(['~', '^', ':', '?', '*', '[', '\\']);
    if good {
        return Ok(());
    }
    Err(wrong(
        "ref",
        "this is not a branch, tag or commit",
        "Use a name such as main, v1.2 or a commit's hash",
    ))
}

/// `[host[:port]/]path[:tag][@sha256:…]`.
fn check_image(text: &str) -> Result<()> {
    if is_plain(text) && text.len() <= 512 && is_image(text) {
        return Ok(());
    }
    Err(wrong(
        "reference",
        "this is not the name of an image",
        "Use a name such as docker.io/library/nginx:1.27",
    ))
}

fn is_image(text: &str) -> bool {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    let is_digest = |digest: &str| {
        digest.strip_prefix("sha256:").is_some_and(|hex| {
            hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        })
    };
    // A colon after the last slash begins a tag; one before it a port.
    let last_slash = name.rfind('/').map_or(0, |index| index + 1);
    let (path, tag) = match name[last_slash..].split_once(':') {
        Some((_, tag)) => (&name[..name.len() - tag.len() - 1], Some(tag)),
        None => (name, None),
    };
    let is_tag = |tag: &str| {
        tag.len() <= 128
            && tag.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
            && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    };
    let parts: Vec<&str> = path.split('/').collect();
    let is_host = |part: &str| {
        let (host, port) = part.split_once(':').unwrap_or((part, "1"));
        host.starts_with(|first: char| first.is_ascii_alphanumeric())
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
            && port.parse::<u16>().is_ok()
    };
    let is_component = |part: &str| {
        let edge = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        part.starts_with(edge)
            && part.ends_with(edge)
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
    };
    let (first, rest) = parts.split_first().expect("split gives at least one part");
    let named = if rest.is_empty() {
        is_component(first)
    } else {
        (is_host(first) || is_component(first)) && rest.iter().all(|part| is_component(part))
    };
    named && digest.is_none_or(is_digest) && tag.is_none_or(is_tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_addresses_have_a_known_scheme_and_are_no_options() {
        for good in [
            "https://github.com/a/b.git",
            "http://10.0.0.1/x",
            "ssh://git@host:2222/a/b",
            "git://host/a",
            "git@github.com:a/b.git",
            "host:path",
        ] {
            check_git_url(good).expect(good);
        }
        for bad in [
            "",
            "-u",
            "--upload-pack=x",
            "file:///etc",
            "/etc",
            "ext::sh -c x",
            "https://",
            "https://a b",
            "ssh://-oProxyCommand=x/a",
            "-oProxyCommand=x:a",
            "git@host:-x",
            "https://x/\n",
        ] {
            let error = check_git_url(bad).expect_err(bad);
            assert!(format!("{error:?}").contains("source.url"));
        }
    }

    #[test]
    fn an_address_has_no_password() {
        for bad in ["https://ann:t0ken@host/a", "https://t0ken@host/a", "ssh://git:pass@host/a"] {
            let error = format!("{:?}", check_git_url(bad).expect_err(bad));
            assert!(error.contains("wh git token") && !error.contains("t0ken"), "{error}");
        }
    }

    #[test]
    fn a_ref_is_a_name_and_no_option_or_range() {
        for good in ["main", "v1.2", "feature/x", "0123abc", "refs/heads/main"] {
            check_ref(good).expect(good);
        }
        for bad in ["", "-b", "a..b", "a b", "a\n", "HEAD~1", "a^", "a:b", "x@{1}", "/a", "a/", "*"] {
            check_ref(bad).expect_err(bad);
        }
    }

    #[test]
    fn an_image_has_a_name_and_perhaps_a_tag_and_a_digest() {
        let digest = format!("nginx@sha256:{}", "a".repeat(64));
        for good in [
            "nginx",
            "nginx:1.27",
            "docker.io/library/nginx:latest",
            "localhost:5000/a/b_c:x",
            "ghcr.io/a/b",
            &digest,
        ] {
            check_image(good).expect(good);
        }
        for bad in [
            "",
            "-v",
            "Nginx",
            "nginx:",
            "a b",
            "a//b",
            "a/",
            "nginx@sha256:12",
            "http://x/y",
            "a:-x",
            "../x",
        ] {
            check_image(bad).expect_err(bad);
        }
    }
}
