//! Where `wh` is signed in: named contexts in `$XDG_CONFIG_HOME/wisehosting/config.toml`, mode 0600.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::failure::{Exit, Failure, Result};

/// The file's content.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Store {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// One control plane.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    pub(crate) url: Url,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) organization: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The token's id, when `wh login` made it: `wh logout` then revokes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "expose")]
    pub(crate) token: Option<SecretString>,
}

#[expect(clippy::ref_option, reason = "serde hands the field over like this")]
fn expose<S: serde::Serializer>(token: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    token.as_ref().map(ExposeSecret::expose_secret).serialize(serializer)
}

/// What decides where a command goes: flags and environment.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    pub(crate) context: Option<String>,
    pub(crate) url: Option<Url>,
    pub(crate) token: Option<SecretString>,
    pub(crate) ca_file: Option<PathBuf>,
}

/// `$XDG_CONFIG_HOME/wisehosting/config.toml`, or the same below `~/.config`.
pub(crate) fn path() -> Result<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    let folder = folder.ok_or_else(|| {
        Failure::new(Exit::Error, "no_config_folder", "neither XDG_CONFIG_HOME nor HOME is an absolute path")
    })?;
    Ok(folder.join("wisehosting/config.toml"))
}

impl Store {
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            read => read.map_err(|error| Failure::io(&format!("cannot read {}", path.display()), &error))?,
        };
        // Only the place and the reason are shown: the line itself may hold the token.
        toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            let message = format!("{} line {line}: {}", path.display(), error.message());
            Failure::new(Exit::Error, "config_invalid", message)
                .hint("correct the line, or remove the file and sign in again")
        })
    }

    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self)
            .map_err(|error| Failure::new(Exit::Error, "config_invalid", error.to_string()))?;
        let failed = |error: std::io::Error| Failure::io(&format!("cannot write {}", path.display()), &error);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        daemon::file::replace(path, text.as_bytes(), 0o600).map_err(failed)
    }

    pub(crate) fn get(&self, name: &str) -> Result<&Context> {
        self.contexts.get(name).ok_or_else(|| {
            let failure =
                Failure::new(Exit::NotFound, "context_unknown", format!("there is no context {name}"));
            match nearest(name, self.contexts.keys().map(String::as_str)) {
                Some(near) => failure.hint(format!("did you mean {near}? `wh context ls` lists them")),
                None => failure.hint("`wh context ls` lists them; `wh login` adds one"),
            }
        })
    }

    /// The context that a command uses. Flag beats environment beats the current one. A token is only ever sent to
    /// the address that it was made for.
    pub(crate) fn resolve(&self, choice: Choice) -> Result<(Option<String>, Context)> {
        let (name, mut context) = match (&choice.context, &choice.url) {
            (Some(name), _) => (Some(name.clone()), self.get(name)?.clone()),
            (None, Some(url)) => self.with_url(url),
            (None, None) => match &self.current {
                Some(name) => (Some(name.clone()), self.get(name)?.clone()),
                None => return Err(signed_out()),
            },
        };
        // The token of the environment belongs to the address of the environment, if there is one.
        if choice.token.is_some() && choice.context.is_none() {
            context.token = choice.token;
        }
        context.ca_file = choice.ca_file.or(context.ca_file);
        if context.token.is_none() {
            return Err(signed_out());
        }
        Ok((name, context))
    }

    fn with_url(&self, url: &Url) -> (Option<String>, Context) {
        match self.contexts.iter().find(|(_, context)| context.url == *url) {
            Some((name, context)) => (Some(name.clone()), context.clone()),
            None => (None, Context::new(url.clone())),
        }
    }
}

impl Context {
    pub(crate) fn new(url: Url) -> Self {
        Self { url, email: None, organization: None, ca_file: None, token_id: None, token: None }
    }
}

fn signed_out() -> Box<Failure> {
    Failure::new(Exit::Auth, "signed_out", "you are not signed in")
        .hint("`wh login https://your-control-plane`, or set WH_URL and WH_TOKEN")
}

/// Reads an address as people type it: `https://` may be left out.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    let text = text.trim();
    let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let mut url = Url::parse(&full).map_err(|error| format!("is not an address: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("must be an https:// address".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or password".to_owned());
    }
    url.set_query(None);
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// The nearest of `known`, if it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().max(word.len()) / 4)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn store() -> Store {
        let mut store = Store { current: Some("home".to_owned()), ..Store::default() };
        for (name, url) in [("home", "https://home.example"), ("work", "https://work.example")] {
            let mut context = Context::new(parse_url(url).expect("url"));
            context.token = Some(SecretString::from(format!("wht_{name}")));
            store.contexts.insert(name.to_owned(), context);
        }
        store
    }

    fn token(choice: Choice) -> Result<String> {
        let (_, context) = store().resolve(choice)?;
        Ok(context.token.expect("signed in").expose_secret().to_owned())
    }

    #[test]
    fn a_token_never_goes_to_another_address() {
        let other = Choice { url: Some(parse_url("evil.example").expect("url")), ..Choice::default() };
        assert_eq!(token(other).expect_err("no token").exit, Exit::Auth);
        let known =
            Choice { url: Some(parse_url("https://work.example/").expect("url")), ..Choice::default() };
        assert_eq!(token(known).expect("known"), "wht_work");
    }

    #[test]
    fn the_flag_beats_the_environment_and_that_the_current_context() {
        assert_eq!(token(Choice::default()).expect("current"), "wht_home");
        let environment = || Choice { token: Some("wht_env".into()), ..Choice::default() };
        assert_eq!(token(environment()).expect("environment"), "wht_env");
        let flag = Choice { context: Some("work".to_owned()), ..environment() };
        assert_eq!(token(flag).expect("flag"), "wht_work");
    }

    #[test]
    fn the_file_is_private_and_survives_a_round_trip() {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("a/config.toml");
        store().save(&path).expect("save");
        assert_eq!(path.metadata().expect("metadata").permissions().mode() & 0o777, 0o600);
        let loaded = Store::load(&path).expect("load");
        assert_eq!(loaded.contexts.len(), 2);
        assert_eq!(loaded.current.as_deref(), Some("home"));
        assert!(!format!("{loaded:?}").contains("wht_"), "debug output shows no token");
    }

    #[test]
    fn a_broken_file_is_reported_without_its_content() {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("config.toml");
        std::fs::write(&path, "[contexts.a]\nurl = \"https://a\"\ntoken = \"wht_secret\nx").expect("write");
        let failure = Store::load(&path).expect_err("broken");
        assert!(failure.message.contains("line 4"), "{}", failure.message);
        assert!(!failure.message.contains("wht_secret"), "{}", failure.message);
    }

    #[test]
    fn addresses_are_read_as_people_type_them() {
        let read = |text| parse_url(text).map(|url| url.to_string());
        assert_eq!(read("cp.example.com:8080").as_deref(), Ok("https://cp.example.com:8080/"));
        assert_eq!(read("https://x.test/apps#top").as_deref(), Ok("https://x.test/apps"));
        for bad in ["ftp://x", "https://u:p@x", "", "https://"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_near_word_is_suggested() {
        assert_eq!(nearest("memory", ["memory_mb", "cpu_millis"].into_iter()), Some("memory_mb"));
        assert_eq!(nearest("weather", ["port", "replicas"].into_iter()), None);
    }
}
