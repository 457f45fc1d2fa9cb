//! Names and passwords that visitors are asked for. Passwords are hashed at once; only bcrypt hashes are kept, because
//! both engines check them.

use serde_json::{Map, Value};

use crate::http::{Error, Result};

/// Tens of milliseconds of a proxy's processor for each new visitor.
const COST: u32 = 10;
/// Of hashes that were made elsewhere: less is guessed too soon, more takes a proxy over a second.
const COSTS: std::ops::RangeInclusive<u32> = 8..=14;
const LIMIT: usize = 100;
/// Each takes time to hash.
const NEW_LIMIT: usize = 20;
/// What bcrypt reads of a password.
const LONGEST: usize = 72;
const SHORTEST: usize = 8;

/// A user's password as a request says it.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Password(String),
    Hash(String),
    Keep,
}

/// `basic_auth` with hashes for passwords. `before` is the one in force. Takes a while for each new password.
pub fn hashed(mut auth: Value, before: Option<&Value>) -> Result<Value> {
    let Some(group) = auth.as_object_mut() else { return Ok(auth) };
    check_realm(group.get("realm"))?;
    let users = group.get_mut("users").and_then(Value::as_object_mut);
    let users = users.filter(|users| !users.is_empty()).ok_or_else(|| {
        Error::invalid("basic_auth.users", "basic_auth needs at least one user")
            .hint("Unset basic_auth to let everybody in")
    })?;
    if users.len() > LIMIT {
        return Err(Error::invalid("basic_auth.users", format!("there may be at most {LIMIT} users")));
    }
    let known = before.and_then(|auth| auth.get("users")).and_then(Value::as_object);
    let mut new = 0;
    for (name, value) in users.iter_mut() {
        check_name(name)?;
        let field = format!("basic_auth.users.{name}");
        let hash = match said(value, &field)? {
            Said::Keep => kept(known, name, &field)?,
            Said::Hash(hash) => checked(hash, &field)?,
            Said::Password(password) => {
                new += 1;
                if new > NEW_LIMIT {
                    let message = format!("at most {NEW_LIMIT} passwords can be set at a time");
                    return Err(Error::invalid("basic_auth.users", message)
                        .hint("Set the others after these, or send bcrypt hashes"));
                }
                hash(&password, &field)?
            }
        };
        *value = Value::String(hash);
    }
    Ok(auth)
}

fn said(value: &Value, field: &str) -> Result<Said> {
    let one = |group: &Map<String, Value>, name: &str| match group.get(name) {
        Some(Value::String(text)) if group.len() == 1 => Some(text.clone()),
        _ => None,
    };
    match value {
        Value::Null => Ok(Said::Keep),
        Value::Object(group) => one(group, "password")
            .map(Said::Password)
            .or_else(|| one(group, "hash").map(Said::Hash))
            .ok_or_else(|| unreadable(field)),
        _ => Err(unreadable(field)),
    }
}

fn unreadable(field: &str) -> Error {
    Error::invalid(field, "a user has a password, a hash, or null to keep the password that is there")
        .hint(r#"Write {"password": "…"} or {"hash": "$2b$10$…"}"#)
}

fn kept(known: Option<&Map<String, Value>>, name: &str, field: &str) -> Result<String> {
    let hash = known.and_then(|known| known.get(name)).and_then(Value::as_str);
    hash.map(str::to_owned).ok_or_else(|| {
        Error::invalid(field, format!("{name} has no password yet that could be kept"))
            .hint(r#"Write {"password": "…"}"#)
    })
}

fn checked(hash: String, field: &str) -> Result<String> {
    let parts = hash.parse::<bcrypt::HashParts>().ok().filter(|_| hash.len() == 60);
    let Some(parts) = parts else {
        return Err(Error::invalid(field, "this is no bcrypt hash")
            .hint("`htpasswd -nbB NAME PASSWORD` makes one: what stands after the colon"));
    };
    if COSTS.contains(&parts.get_cost()) {
        return Ok(hash);
    }
    let (least, most) = (COSTS.start(), COSTS.end());
    Err(Error::invalid(field, format!("the hash has cost {}, not {least} to {most}", parts.get_cost()))
        .hint("`htpasswd -nbB -C 10 NAME PASSWORD` makes one of cost 10"))
}

fn hash(password: &str, field: &str) -> Result<String> {
    if password.chars().count() < SHORTEST || password.len() > LONGEST {
        let message = format!("a password has at least {SHORTEST} characters and at most {LONGEST} bytes");
        return Err(Error::invalid(field, message));
    }
    if password.chars().any(char::is_control) {
        return Err(Error::invalid(field, "a password has no control characters"));
    }
    Ok(bcrypt::hash(password, COST).map_err(anyhow::Error::new)?)
}

fn check_name(name: &str) -> Result<()> {
    let field = format!("basic_auth.users.{name}");
    if name.is_empty() || name.chars().count() > 64 {
        return Err(Error::invalid(field, "a user's name has 1 to 64 characters"));
    }
    if name.contains(':') || name.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
        return Err(Error::invalid(field, "a user's name has no colons, spaces or control characters"));
    }
    Ok(())
}

fn check_realm(realm: Option<&Value>) -> Result<()> {
    let Some(realm) = realm.and_then(Value::as_str) else { return Ok(()) };
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if realm.is_empty() || realm.len() > 100 || !realm.bytes().all(plain) {
        let message = "the realm has 1 to 100 visible ASCII characters, without quotes and backslashes";
        return Err(Error::invalid("basic_auth.realm", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn users(users: Value) -> Result<Value> {
        let before = json!({ "users": { "old": "$2b$10$kept" } });
        hashed(json!({ "users": users }), Some(&before)).map(|auth| auth["users"].clone())
    }

    #[test]
    fn passwords_are_hashed_and_others_kept() {
        let kept = users(json!({ "ann": { "password": "correct horse" }, "old": null })).expect("fine");
        let hash = kept["ann"].as_str().expect("a hash");
        assert!(bcrypt::verify("correct horse", hash).expect("a bcrypt hash"), "{hash}");
        assert_eq!(kept["old"], "$2b$10$kept");
        let made = "$2y$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        assert_eq!(users(json!({ "bob": { "hash": made } })).expect("fine")["bob"], made);
    }

    #[test]
    fn what_is_no_password_is_refused_and_not_repeated() {
        let slow = "$2b$15$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        for (given, word) in [
            (json!({}), "at least one"),
            (json!({ "ann": null }), "no password yet"),
            (json!({ "ann": { "password": "short" } }), "at least 8"),
            (json!({ "ann": { "password": "x".repeat(73) } }), "72 bytes"),
            (json!({ "ann": { "password": "with\nnewline" } }), "control"),
            (json!({ "ann": { "hash": "$1$abc" } }), "no bcrypt hash"),
            (json!({ "ann": { "hash": slow } }), "cost 15"),
            (json!({ "ann": "secret-in-the-open" }), "password, a hash"),
            (json!({ "a:b": { "password": "long enough" } }), "colons"),
        ] {
            let error = format!("{:?}", users(given.clone()).expect_err(word));
            assert!(error.contains(word), "{given}: {error}");
            assert!(!error.contains("secret-in-the-open") && !error.contains("CCCC"), "{error}");
        }
        let realm = hashed(json!({ "realm": "a\"b", "users": { "old": null } }), None);
        assert!(format!("{realm:?}").contains("basic_auth.realm"));
    }
}
