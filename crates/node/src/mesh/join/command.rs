//! `wisehosting-mesh join`: joins now, and says how that went, whether or not the agent runs already.

use std::io::Read;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use daemon::credentials::SecretString;
use protocol::enrol::Joined;

use super::super::config::Config;
use super::super::keys::Keys;
use super::{MEMBERSHIP, ask, client, keep, place, remedy, request_of};
use crate::identity;

/// Between the tries: what may pass is tried five times.
pub const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

/// Most that is read from standard input.
const LIMIT: u64 = 64 * 1024;
/// Tokens are `whj_` and letters.
const LONGEST_TOKEN: usize = 256;

/// What an admin brought from the control plane.
pub enum Given {
    /// A join token.
    Token(SecretString),
    /// What the control plane answered to somebody who entered this host by hand.
    Joined(Box<Joined>),
}

impl Given {
    /// Reads it, as standard input has it.
    pub fn read(input: impl Read, by_hand: bool) -> anyhow::Result<Self> {
        let mut text = String::new();
        input.take(LIMIT).read_to_string(&mut text).context("cannot read standard input")?;
        let text = text.trim();
        if by_hand {
            let joined = serde_json::from_str(text).context(
                "standard input must be the text that `wh node register` printed, whole and unchanged",
            )?;
            return Ok(Self::Joined(Box::new(joined)));
        }
        if text.is_empty() || text.len() > LONGEST_TOKEN || !text.bytes().all(|byte| byte.is_ascii_graphic())
        {
            bail!("standard input must be a join token. `wh node add` makes one and prints the line to run");
        }
        Ok(Self::Token(SecretString::from(text.to_owned())))
    }
}

/// Joins. Each line of what happens goes to `say`.
pub async fn run(
    config: &Config,
    given: Given,
    pauses: &[Duration],
    mut say: impl FnMut(&str),
) -> anyhow::Result<()> {
    let folder = &config.state_dir;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    if let Some(place) = place(folder)? {
        bail!(
            "this host has already joined as {} ({}). If it was removed or revoked, take it out with `wisehosting-mesh leave` and join again",
            place.identity.name,
            place.identity.mesh_address
        );
    }
    let keys = Keys::load_or_create(folder)?;
    let joined = match given {
        Given::Token(token) => by_token(config, &keys.public, &token, pauses, &mut say).await?,
        Given::Joined(joined) => by_hand(config, *joined)?,
    };
    let place = keep(folder, joined)?;
    say(&format!("joined as {}, mesh address {}", place.identity.name, place.identity.mesh_address));
    // The agent holds its folder while it runs.
    let is_idle = daemon::lock::take(folder)?.is_some();
    hand_over(folder)?;
    if is_idle {
        say("wisehosting-mesh does not run yet: start it with `systemctl start wisehosting-mesh`");
    }
    Ok(())
}

async fn by_token(
    config: &Config,
    public_key: &str,
    token: &SecretString,
    pauses: &[Duration],
    say: &mut impl FnMut(&str),
) -> anyhow::Result<Joined> {
    let control_plane = config.control_plane.as_ref().context(
        "the configuration says `declared`, and a declared host needs no token: start wisehosting-mesh",
    )?;
    let http = client(control_plane)?;
    let body = request_of(config, public_key);
    let tries = pauses.len() + 1;
    let mut pauses = pauses.iter();
    for number in 1.. {
        let error = match ask(&http, control_plane, token, &body).await {
            Ok(joined) => return Ok(joined),
            Err(error) => error,
        };
        if error.is_final() {
            bail!("the control plane refused this host: {error}. Remedy: {}", remedy(&error));
        }
        let error = format!("{:#}", anyhow::Error::from(error));
        let Some(pause) = pauses.next() else {
            bail!(
                "not joined after {tries} tries: {error}. The token is still good: look at `control_plane.url` and whether {} is reached from here, then run this again",
                control_plane.url
            );
        };
        say(&format!("try {number} of {tries}: {error}; again in {} s", pause.as_secs()));
        tokio::time::sleep(*pause).await;
    }
    unreachable!("the loop ends with the pauses")
}

fn by_hand(config: &Config, joined: Joined) -> anyhow::Result<Joined> {
    let (here, meant) = (&config.node.name, &joined.identity.name);
    if here != meant {
        bail!("this is for a host named {meant}, and `node.name` of this one is {here}");
    }
    Ok(joined)
}

/// What may have been written here.
const WRITTEN: [&str; 5] = ["private.key", "public.key", MEMBERSHIP, identity::FILE, daemon::lock::FILE];

/// What was written belongs to whom the folder belongs: the agent may run as another user than who joins.
fn hand_over(folder: &Path) -> anyhow::Result<()> {
    let owner = folder.metadata().with_context(|| format!("cannot read {}", folder.display()))?;
    for path in WRITTEN.map(|name| folder.join(name)) {
        let Ok(known) = path.symlink_metadata() else { continue };
        if known.is_file() && (known.uid(), known.gid()) != (owner.uid(), owner.gid()) {
            lchown(&path, Some(owner.uid()), Some(owner.gid()))
                .with_context(|| format!("cannot give {} to the agent's user", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::Json;
    use axum::http::StatusCode;
    use axum::response::{IntoResponse, Response};
    use protocol::identity::ApiKey;
    use serde_json::json;
    use tokio::task::JoinSet;

    use super::super::tests::{config_at, control_plane, joined};
    use super::*;

    const NO_PAUSES: [Duration; 4] = [Duration::ZERO; 4];

    fn token() -> Given {
        Given::read(&b"whj_1\n"[..], false).expect("a token")
    }

    /// Joins in `folder` by a control plane that answers each try like this, and tells what was said.
    async fn join(
        folder: &Path,
        answer: impl Fn(u32, &str) -> Response + Clone + Send + Sync + 'static,
    ) -> (anyhow::Result<()>, Vec<String>) {
        daemon::crypto::install();
        let mut tasks = JoinSet::new();
        let url = control_plane(&mut tasks, answer).await;
        let mut said = Vec::new();
        let config = config_at(folder, url.as_str());
        let ended = run(&config, token(), &NO_PAUSES, |line| said.push(line.to_owned())).await;
        (ended, said)
    }

    fn refused(code: &str) -> Response {
        (StatusCode::CONFLICT, Json(json!({ "code": code, "message": "no" }))).into_response()
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_five_times_and_each_try_told() {
        let folder = tempfile::tempdir().expect("temp dir");
        let key = ApiKey::generate();
        let (ended, said) = join(folder.path(), move |tries, bearer| {
            assert_eq!(bearer, "Bearer whj_1");
            if tries < 5 {
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
            (StatusCode::CREATED, Json(joined(&key))).into_response()
        })
        .await;
        ended.expect("joined");
        assert_eq!(said.iter().filter(|line| line.starts_with("try ")).count(), 4, "{said:?}");
        assert!(said.iter().any(|line| line == "joined as w2, mesh address 10.50.0.12"), "{said:?}");
        assert!(said.last().is_some_and(|line| line.contains("systemctl start")), "{said:?}");
        let (again, _) = join(folder.path(), |_, _| unreachable!("not asked")).await;
        assert!(again.expect_err("refused").to_string().contains("already joined as w2"));
    }

    #[tokio::test]
    async fn after_five_tries_the_token_is_said_to_be_good() {
        let folder = tempfile::tempdir().expect("temp dir");
        let (ended, said) = join(folder.path(), |_, _| StatusCode::BAD_GATEWAY.into_response()).await;
        let error = ended.expect_err("not joined").to_string();
        assert!(error.contains("5 tries") && error.contains("token is still good"), "{error}");
        assert_eq!(said.len(), 4, "{said:?}");
        assert!(place(folder.path()).expect("readable").is_none());
    }

    #[tokio::test]
    async fn what_cannot_pass_is_not_tried_again() {
        for (code, remedy) in [("join_token_used", "wh node add"), ("name_taken", "node.name")] {
            let folder = tempfile::tempdir().expect("temp dir");
            let (ended, said) = join(folder.path(), move |tries, _| {
                assert_eq!(tries, 1);
                refused(code)
            })
            .await;
            let error = ended.expect_err("refused").to_string();
            assert!(error.contains(code) && error.contains(remedy), "{error}");
            assert!(said.is_empty(), "{said:?}");
        }
    }

    #[tokio::test]
    async fn a_host_that_was_entered_by_hand_joins_without_asking_and_only_under_its_name() {
        let text = serde_json::to_vec(&joined(&ApiKey::generate())).expect("JSON");
        let folder = tempfile::tempdir().expect("temp dir");
        let mut config = config_at(folder.path(), "https://cp.example.com");
        config.node.name = "other".to_owned();
        let given = Given::read(&text[..], true).expect("joined");
        let error = run(&config, given, &NO_PAUSES, |_| ()).await.expect_err("another name").to_string();
        assert!(error.contains("named w2"), "{error}");
        let given = Given::read(&text[..], true).expect("joined");
        let config = config_at(folder.path(), "https://cp.example.com");
        run(&config, given, &NO_PAUSES, |_| ()).await.expect("joined");
        assert_eq!(place(folder.path()).expect("readable").expect("joined").identity.name, "w2");
    }

    #[test]
    fn only_a_token_or_a_whole_answer_is_taken() {
        for text in ["", "two words", "whj_\u{7f}"] {
            assert!(Given::read(text.as_bytes(), false).is_err(), "{text:?}");
        }
        assert!(Given::read(&b"{\"identity\":"[..], true).is_err());
    }
}
