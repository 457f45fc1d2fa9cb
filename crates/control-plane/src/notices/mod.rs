//! What somebody should look at. A feature says what is off now; this says what is new about that, once, and resolves
//! what is over.

pub mod api;
pub mod store;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use protocol::ids::OrganizationId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How bad it is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
#[sqlx(type_name = "text", rename_all = "kebab-case")]
pub enum Severity {
    /// It will be bad if nobody looks.
    Warning,
    /// It is bad, or will be within days.
    Critical,
}

/// What is off, as a feature sees it now. Features name their troubles `<noun>-<verb>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Absent for what concerns the whole installation.
    pub organization: Option<OrganizationId>,
    pub kind: &'static str,
    /// `<noun>:<name>`.
    pub subject: String,
    /// How far it has come; a new stage is told again.
    pub stage: &'static str,
    pub severity: Severity,
    pub text: String,
    pub hint: Option<String>,
}

/// A notice as people see it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Notice {
    pub id: Uuid,
    /// A stable word for the trouble, such as `certificate-ends`.
    pub kind: String,
    /// `<noun>:<name>`.
    pub subject: String,
    pub severity: Severity,
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
    pub first_seen: DateTime<Utc>,
    /// When it got as far as it is now.
    pub told_at: DateTime<Utc>,
    /// Null while it lasts.
    pub resolved_at: Option<DateTime<Utc>>,
}

/// A notice that is not resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    pub id: Uuid,
    pub organization: Option<OrganizationId>,
    pub kind: String,
    pub subject: String,
    pub stage: String,
    pub text: String,
    pub hint: Option<String>,
}

impl Open {
    fn is_of(&self, trouble: &Trouble) -> bool {
        self.organization == trouble.organization
            && self.kind == trouble.kind
            && self.subject == trouble.subject
    }
}

/// What to do with the notices.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Tell it for the first time.
    Raise(&'a Trouble),
    /// It has got further: tell it again.
    Tell(Uuid, &'a Trouble),
    /// The same in other words: nobody needs to be told.
    Reword(Uuid, &'a Trouble),
    /// It is over.
    Resolve(Uuid),
}

/// From what is open and what is off to the steps between them. What is off twice is told once.
pub fn plan<'a>(open: &[Open], troubles: &'a [Trouble]) -> Vec<Step<'a>> {
    let mut steps: Vec<Step<'a>> = Vec::new();
    let mut seen: Vec<&Trouble> = Vec::new();
    for trouble in troubles {
        let is_same = |other: &&&Trouble| {
            (other.organization, other.kind, &other.subject)
                == (trouble.organization, trouble.kind, &trouble.subject)
        };
        if seen.iter().any(|other| is_same(&other)) {
            continue;
        }
        seen.push(trouble);
        match open.iter().find(|open| open.is_of(trouble)) {
            None => steps.push(Step::Raise(trouble)),
            Some(open) if open.stage != trouble.stage => steps.push(Step::Tell(open.id, trouble)),
            Some(open) if open.text != trouble.text || open.hint != trouble.hint => {
                steps.push(Step::Reword(open.id, trouble));
            }
            Some(_) => {}
        }
    }
    let is_over = |open: &&Open| !troubles.iter().any(|trouble| open.is_of(trouble));
    steps.extend(open.iter().filter(is_over).map(|open| Step::Resolve(open.id)));
    steps
}

#[cfg(test)]
mod rules {
    use super::*;

    fn trouble(subject: &str, stage: &'static str, text: &str) -> Trouble {
        Trouble {
            organization: None,
            kind: "thing-breaks",
            subject: subject.to_owned(),
            stage,
            severity: Severity::Warning,
            text: text.to_owned(),
            hint: None,
        }
    }

    fn open(subject: &str, stage: &str, text: &str) -> Open {
        Open {
            id: Uuid::from_u128(7),
            organization: None,
            kind: "thing-breaks".to_owned(),
            subject: subject.to_owned(),
            stage: stage.to_owned(),
            text: text.to_owned(),
            hint: None,
        }
    }

    #[test]
    fn each_stage_is_told_once_and_what_is_over_is_resolved() {
        let id = Uuid::from_u128(7);
        let now = trouble("a", "bad", "text");
        let troubles = std::slice::from_ref(&now);
        assert_eq!(plan(&[], troubles), [Step::Raise(&now)]);
        assert_eq!(plan(&[open("a", "bad", "text")], troubles), []);
        assert_eq!(plan(&[open("a", "fair", "text")], troubles), [Step::Tell(id, &now)]);
        assert_eq!(plan(&[open("a", "bad", "older words")], troubles), [Step::Reword(id, &now)]);
        assert_eq!(plan(&[open("a", "bad", "text")], &[]), [Step::Resolve(id)]);
        assert_eq!(plan(&[open("b", "bad", "text")], troubles), [Step::Raise(&now), Step::Resolve(id)]);
    }

    #[test]
    fn the_same_trouble_of_another_organization_is_another() {
        let theirs = Trouble { organization: Some(OrganizationId::new()), ..trouble("a", "bad", "text") };
        let (ours, id) = (open("a", "bad", "text"), Uuid::from_u128(7));
        assert_eq!(
            plan(std::slice::from_ref(&ours), std::slice::from_ref(&theirs)),
            [Step::Raise(&theirs), Step::Resolve(id)]
        );
        let twice = [theirs.clone(), theirs.clone()];
        assert_eq!(plan(&[], &twice), [Step::Raise(&twice[0])]);
    }
}
