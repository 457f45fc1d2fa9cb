//! What a client is told when something goes wrong: a code to branch on, a sentence to show, the field and the remedy.
//! What went wrong inside is logged once and never leaves.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// Stable words for programs. The dashboard and `wh` branch on these, never on texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    // 400
    BadRequest,
    // 401
    Unauthenticated,
    CredentialsWrong,
    JoinTokenWrong,
    ApiKeyWrong,
    AgentTokenWrong,
    // 403
    Forbidden,
    CrossSite,
    SetupCodeWrong,
    RoleNotAllowed,
    NotDeclared,
    // 404
    NotFound,
    ReleaseUnknown,
    // 409
    SetupClosed,
    SlugTaken,
    NameTaken,
    DomainTaken,
    PortTaken,
    JoinTokenUsed,
    NothingToRollBack,
    ReleaseNotKept,
    NothingDeployed,
    NothingPending,
    VariablesMissing,
    VariablesChanged,
    DeploymentRunning,
    AppStopped,
    NotRunning,
    NotQueued,
    NodeHasInstances,
    NodeHasZone,
    NodeRevoked,
    RotationEnded,
    ZoneInUse,
    ProjectInUse,
    MeshFull,
    CertificateFixed,
    CertificateRecent,
    CertificateBudget,
    // 410
    JoinTokenExpired,
    // 413
    ArchiveTooLarge,
    // 422
    Invalid,
    SlugInvalid,
    NameInvalid,
    ArchiveUnsafe,
    ArchiveNotGzipTar,
    SourceInvalid,
    // 429
    TooMany,
    // 500, 503
    Internal,
    Unavailable,
}

impl Code {
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthenticated
            | Self::CredentialsWrong
            | Self::JoinTokenWrong
            | Self::ApiKeyWrong
            | Self::AgentTokenWrong => StatusCode::UNAUTHORIZED,
            Self::Forbidden
            | Self::CrossSite
            | Self::SetupCodeWrong
            | Self::RoleNotAllowed
            | Self::NotDeclared => StatusCode::FORBIDDEN,
            Self::NotFound | Self::ReleaseUnknown => StatusCode::NOT_FOUND,
            Self::SetupClosed
            | Self::SlugTaken
            | Self::NameTaken
            | Self::DomainTaken
            | Self::PortTaken
            | Self::JoinTokenUsed
            | Self::NothingToRollBack
            | Self::ReleaseNotKept
            | Self::NothingDeployed
            | Self::NothingPending
            | Self::VariablesMissing
            | Self::VariablesChanged
            | Self::DeploymentRunning
            | Self::AppStopped
            | Self::NotRunning
            | Self::NotQueued
            | Self::NodeHasInstances
            | Self::NodeHasZone
            | Self::NodeRevoked
            | Self::RotationEnded
            | Self::ZoneInUse
            | Self::ProjectInUse
            | Self::MeshFull
            | Self::CertificateFixed
            | Self::CertificateRecent
            | Self::CertificateBudget => StatusCode::CONFLICT,
            Self::JoinTokenExpired => StatusCode::GONE,
            Self::ArchiveTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Invalid
            | Self::SlugInvalid
            | Self::NameInvalid
            | Self::ArchiveUnsafe
            | Self::ArchiveNotGzipTar
            | Self::SourceInvalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// An error on its way to a client.
#[derive(Debug)]
pub struct Error {
    code: Code,
    message: String,
    field: Option<String>,
    hint: Option<String>,
    /// For the log only.
    source: Option<anyhow::Error>,
}

/// A handler's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None, hint: None, source: None }
    }

    /// `what` continues "there is no …".
    pub fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("there is no {what}"))
    }

    /// A value that cannot be taken.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::Invalid, message).field(field)
    }

    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn code(&self) -> Code {
        self.code
    }

    /// For people.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<anyhow::Error> for Error {
    fn from(source: anyhow::Error) -> Self {
        let outage = source.chain().filter_map(|cause| cause.downcast_ref()).any(crate::db::is_outage);
        let mut error = if outage {
            Self::new(Code::Unavailable, "the database does not answer; running apps are not affected")
                .hint("Try again in a few seconds")
        } else {
            Self::new(Code::Internal, "something went wrong on the server")
                .hint("Try again; the server's log has the details under the request id")
        };
        error.source = Some(source);
        error
    }
}

impl From<sqlx::Error> for Error {
    fn from(source: sqlx::Error) -> Self {
        Self::from(anyhow::Error::new(source))
    }
}

impl From<crate::vault::VaultError> for Error {
    fn from(source: crate::vault::VaultError) -> Self {
        Self::from(anyhow::Error::new(source))
    }
}

impl From<axum::extract::rejection::JsonRejection> for Error {
    fn from(rejection: axum::extract::rejection::JsonRejection) -> Self {
        let code = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Code::ArchiveTooLarge
        } else {
            Code::Invalid
        };
        let text = rejection.body_text();
        match text.strip_prefix(WRONG_TYPE).and_then(|told| told.split_once(": ")) {
            Some((path, problem)) if is_path(path) => {
                let problem = problem.rsplit_once(" at line ").map_or(problem, |(problem, _)| problem);
                Self::new(code, format!("{path}: {problem}")).field(path)
            }
            _ => Self::new(code, text),
        }
    }
}

/// How axum begins what it says of a body that is JSON of another shape; then comes where that is.
const WRONG_TYPE: &str = "Failed to deserialize the JSON body into the target type: ";

/// Such as `moves[0].to`; not what serde says where it knows no place.
fn is_path(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_.[]-".contains(letter))
}

/// Whether `error` violates the constraint `name`.
pub fn violates(error: &sqlx::Error, name: &str) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::constraint) == Some(name)
}

/// Body of every error.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ErrorBody {
    pub code: Code,
    pub message: String,
    /// The field of the request that is wrong, dotted.
    pub field: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Names the request in the server's log.
    pub request_id: String,
}

/// What the request log adds to its line. Set on error responses.
#[derive(Debug, Clone)]
pub struct Cause(pub String);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            code: self.code,
            message: self.message,
            field: self.field,
            hint: self.hint,
            request_id: super::request_log::request_id(),
        };
        let mut response = (self.code.status(), Json(body)).into_response();
        if self.code == Code::Unavailable {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        if let Some(source) = self.source {
            response.extensions_mut().insert(Cause(format!("{source:#}")));
        }
        response
    }
}

/// `axum::Json` whose rejections are our errors.
#[derive(Debug, Clone, Copy, axum::extract::FromRequest)]
#[from_request(via(axum::Json), rejection(Error))]
pub struct Body<T>(pub T);

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn an_outage_of_the_database_is_worth_trying_again_wherever_it_was_noticed() {
        let deep =
            Err::<(), _>(sqlx::Error::PoolTimedOut).context("cannot store the app").expect_err("failed");
        for error in [Error::from(sqlx::Error::PoolClosed), Error::from(deep)] {
            let response = error.into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(response.headers().contains_key(header::RETRY_AFTER));
        }
        let wrong = Error::from(sqlx::Error::RowNotFound).into_response();
        assert_eq!(wrong.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!wrong.headers().contains_key(header::RETRY_AFTER));
    }
}
