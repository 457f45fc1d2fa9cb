//! Users, sessions and tokens.

pub mod api;
pub mod password;
pub mod setup;
pub mod store;
#[cfg(test)]
mod tests;
pub mod tokens;

use chrono::{DateTime, Utc};
use protocol::ids::{OrganizationId, TokenId, UserId};
use serde::Serialize;

use crate::http::permission::MemberRole;
use crate::http::{Error, Result};

/// How long a session lasts after signing in, in days. It does not slide: someone who stole a cookie is out after
/// this at the latest.
pub const SESSION_DAYS: i32 = 30;

/// Who is signed in, and where.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Session {
    pub user: User,
    pub organization: Organization,
    /// The zone of new apps: one is served at `<slug>.<zone>`.
    pub zone: String,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct User {
    pub id: UserId,
    pub email: String,
    pub name: String,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Organization {
    pub id: OrganizationId,
    pub slug: String,
    pub name: String,
    /// The user's role in it.
    pub role: MemberRole,
}

/// An API token, without its secret.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Token {
    pub id: TokenId,
    pub name: String,
    pub created_at: DateTime<Utc>,
    /// Null for one that does not end by itself.
    pub expires_at: Option<DateTime<Utc>>,
    pub last_used_at: Option<DateTime<Utc>>,
}

/// An address that a letter could reach; whether it does is not checked.
pub fn check_email(email: &str) -> Result<()> {
    let plausible = email.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty()
            && !host.is_empty()
            && !host.contains('@')
            && !host.starts_with('.')
            && !host.ends_with('.')
    });
    let plain = !email.chars().any(|letter| letter.is_whitespace() || letter.is_control());
    if plausible && plain && email.len() <= 254 {
        Ok(())
    } else {
        Err(Error::invalid("email", "this is not an e-mail address").hint("It looks like name@example.com"))
    }
}

/// Length is what makes a password hard to guess; nothing else is asked.
pub fn check_password(password: &str) -> Result<()> {
    if password.chars().count() < 12 {
        return Err(Error::invalid("password", "the password must have at least 12 characters")
            .hint("Four random words are easy to remember and hard to guess"));
    }
    if password.len() > 1024 {
        return Err(Error::invalid("password", "the password may have at most 1024 bytes"));
    }
    Ok(())
}

/// A slug out of an organization's name.
pub fn slug_of(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.chars().flat_map(char::to_lowercase) {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(40);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "organization".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod rules {
    use super::*;

    #[test]
    fn an_email_address_has_a_user_and_a_host() {
        for good in ["a@example.com", "a.b+c@x"] {
            check_email(good).expect(good);
        }
        for bad in ["", "a", "@x", "a@", "a b@x", "a@b@c", "a@.x", "a@x\n"] {
            check_email(bad).expect_err(bad);
        }
    }

    #[test]
    fn a_password_is_long_enough_and_not_a_novel() {
        check_password("twelve chars").expect("12");
        check_password("eleven char").expect_err("11");
        check_password(&"x".repeat(1025)).expect_err("1025");
    }

    #[test]
    fn an_organizations_slug_comes_from_its_name() {
        for (name, slug) in [("Acme, Inc.", "acme-inc"), ("  Ünïcode ", "n-code"), ("!!", "organization")] {
            assert_eq!(slug_of(name), slug);
        }
    }
}
