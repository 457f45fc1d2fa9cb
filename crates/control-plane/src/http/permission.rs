//! Who may do what. Authorisation is part of the route table: every operation is wrapped by [`guard`] or [`public`],
//! which check the caller and write it into the `OpenAPI` document; a test walks the document and fails on an
//! operation that has neither.

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use serde::{Deserialize, Serialize};
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa_axum::router::UtoipaMethodRouter;

use super::caller;
use super::error::{Code, Error};
use super::listen::Peer;
use crate::app::AppState;

/// A member's role in an organization. Each may do all that the ones below it may.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
#[sqlx(type_name = "text", rename_all = "kebab-case")]
pub enum MemberRole {
    Viewer,
    Developer,
    Admin,
    Owner,
}

/// What an operation needs. Not allowed to see answers 404, allowed to see but not to act answers 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// The caller's own account: session, tokens.
    Account,
    AppRead,
    /// Create apps, change settings and variables, read variables' values.
    AppWrite,
    /// Deploy, roll back, cancel.
    AppDeploy,
    /// Run programs in instances, with all that these can reach.
    AppExec,
    ProjectRead,
    ProjectWrite,
    NodeRead,
    NodeWrite,
    /// Change the order in which builds of all wait for the workers.
    QueueWrite,
    AuditRead,
    RegistryRead,
    /// Log in to registries for all builds of the organization.
    RegistryWrite,
    /// Serve certificates that somebody brings.
    CertificateWrite,
    DnsRead,
    /// Store what DNS records are set with.
    DnsWrite,
}

impl Permission {
    /// The lowest role that has it.
    pub fn least_role(self) -> MemberRole {
        match self {
            Self::Account
            | Self::AppRead
            | Self::ProjectRead
            | Self::NodeRead
            | Self::RegistryRead
            | Self::DnsRead => MemberRole::Viewer,
            Self::AppWrite | Self::AppDeploy | Self::AppExec => MemberRole::Developer,
            Self::ProjectWrite
            | Self::NodeWrite
            | Self::QueueWrite
            | Self::AuditRead
            | Self::RegistryWrite
            | Self::CertificateWrite
            | Self::DnsWrite => MemberRole::Admin,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::AppRead => "app.read",
            Self::AppWrite => "app.write",
            Self::AppDeploy => "app.deploy",
            Self::AppExec => "app.exec",
            Self::ProjectRead => "project.read",
            Self::ProjectWrite => "project.write",
            Self::NodeRead => "node.read",
            Self::NodeWrite => "node.write",
            Self::QueueWrite => "queue.write",
            Self::AuditRead => "audit.read",
            Self::RegistryRead => "registry.read",
            Self::RegistryWrite => "registry.write",
            Self::CertificateWrite => "certificate.write",
            Self::DnsRead => "dns.read",
            Self::DnsWrite => "dns.write",
        }
    }
}

/// A route for signed-in callers whose role has `permission`.
pub fn guard(
    app: &AppState,
    permission: Permission,
    (schemas, mut paths, router): UtoipaMethodRouter<AppState>,
) -> UtoipaMethodRouter<AppState> {
    for operation in paths.paths.values_mut().flat_map(operations) {
        operation.security = Some(vec![
            SecurityRequirement::new("session", [] as [&str; 0]),
            SecurityRequirement::new("token", [] as [&str; 0]),
        ]);
        extend(operation, "x-permission", permission.name());
    }
    (schemas, paths, router.layer(from_fn_with_state((app.clone(), permission), check)))
}

/// The same for an alias, which is not in the document.
pub fn guard_alias(
    app: &AppState,
    permission: Permission,
    route: MethodRouter<AppState>,
) -> MethodRouter<AppState> {
    route.layer(from_fn_with_state((app.clone(), permission), check))
}

/// A route that anyone may call. `reason` says how it protects itself.
pub fn public(
    reason: &str,
    (schemas, mut paths, router): UtoipaMethodRouter<AppState>,
) -> UtoipaMethodRouter<AppState> {
    for operation in paths.paths.values_mut().flat_map(operations) {
        operation.security = Some(Vec::new());
        extend(operation, "x-public", reason);
    }
    (schemas, paths, router)
}

async fn check(
    State((app, permission)): State<(AppState, Permission)>,
    mut request: Request,
    next: Next,
) -> Response {
    let address = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
    let caller = match caller::identify(&app, request.method(), request.headers(), address).await {
        Ok(caller) => caller,
        Err(error) => return error.into_response(),
    };
    if caller.role < permission.least_role() {
        let message = format!("your role may not do this: it needs {}", permission.name());
        return Error::new(Code::Forbidden, message).hint("Ask an owner of the organization").into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete]
        .into_iter()
        .filter_map(Option::as_mut)
}

fn extend(operation: &mut Operation, key: &str, value: &str) {
    let extension = ExtensionsBuilder::new().add(key, value).build();
    match &mut operation.extensions {
        Some(extensions) => extensions.merge(extension),
        none => *none = Some(extension),
    }
}
