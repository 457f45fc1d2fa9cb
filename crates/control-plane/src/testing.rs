//! A control plane for tests: the real router over a real database, and clients that are signed in.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use daemon::credentials::SecretString;
use protocol::ids::{EnvironmentId, OrganizationId, ProjectId, UserId};
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt;

use crate::app::{App, AppState};
use crate::config::Config;
use crate::http::permission::MemberRole;
use crate::secrets::Secrets;
use crate::{digest, front, http, serve};

/// One control plane over the test's own database.
pub(crate) struct TestApp {
    pub(crate) app: AppState,
    pub(crate) public: Router,
}

impl TestApp {
    pub(crate) async fn new(pool: PgPool) -> Self {
        Self::with(pool, |_| {}).await
    }

    /// With a changed configuration.
    pub(crate) async fn with(pool: PgPool, change: impl FnOnce(&mut Config)) -> Self {
        daemon::crypto::install();
        let mut config = Config::example();
        // Whoever counts what fits counts it once.
        config.placement.memory_overcommit = 1.0;
        change(&mut config);
        serve::ensure_zone(&pool, &config.proxy.subdomain_base).await.expect("zone");
        front::ensure(&pool, &config).await.expect("front");
        let secrets = Secrets {
            api_server_secret: SecretString::from("a secret of thirty-two characters"),
            proxy_token: SecretString::from("proxy-token-for-tests"),
        };
        let app = Arc::new(App::new(config, pool, secrets));
        Self { public: http::public_router(&app), app }
    }

    /// Nobody.
    pub(crate) fn anonymous(&self) -> Client {
        Client { router: self.public.clone(), token: None }
    }

    /// Whoever has this token.
    pub(crate) fn with_token(&self, token: &str) -> Client {
        Client { router: self.public.clone(), token: Some(token.to_owned()) }
    }

    /// A member of a new organization with a project `default` and its environment `production`.
    pub(crate) async fn member(&self, organization: &str, role: MemberRole) -> Client {
        let mut tx = self.app.db.begin().await.expect("transaction");
        let (user, organization_id) = (UserId::new(), OrganizationId::new());
        let email = format!("{user}@example.com");
        sqlx::query("insert into users (id, email, name, password_hash) values ($1, $2, 'Test', '')")
            .bind(user)
            .bind(email)
            .execute(&mut *tx)
            .await
            .expect("user");
        let organization_id: OrganizationId = sqlx::query_scalar(
            "insert into organizations (id, slug, name) values ($1, $2, $2)
             on conflict (slug) do update set name = excluded.name returning id",
        )
        .bind(organization_id)
        .bind(organization)
        .fetch_one(&mut *tx)
        .await
        .expect("organization");
        sqlx::query("insert into members (organization_id, user_id, role) values ($1, $2, $3)")
            .bind(organization_id)
            .bind(user)
            .bind(role)
            .execute(&mut *tx)
            .await
            .expect("member");
        let project = ProjectId::new();
        let made = sqlx::query(
            "insert into projects (id, organization_id, slug, name) values ($1, $2, 'default', 'Default')
             on conflict do nothing",
        )
        .bind(project)
        .bind(organization_id)
        .execute(&mut *tx)
        .await
        .expect("project");
        if made.rows_affected() == 1 {
            sqlx::query("insert into environments (id, project_id, slug) values ($1, $2, 'production')")
                .bind(EnvironmentId::new())
                .bind(project)
                .execute(&mut *tx)
                .await
                .expect("environment");
        }
        let token = digest::new_token("wht_");
        sqlx::query("insert into api_tokens (id, user_id, name, token_digest) values ($1, $2, 'test', $3)")
            .bind(protocol::ids::TokenId::new())
            .bind(user)
            .bind(digest::of_token(&token))
            .execute(&mut *tx)
            .await
            .expect("token");
        tx.commit().await.expect("commit");
        Client { router: self.public.clone(), token: Some(token) }
    }

    /// The owner of the organization `acme`.
    pub(crate) async fn owner(&self) -> Client {
        self.member("acme", MemberRole::Owner).await
    }
}

/// Sends requests to the router.
#[derive(Clone)]
pub(crate) struct Client {
    router: Router,
    pub(crate) token: Option<String>,
}

impl Client {
    /// The same caller at another listener.
    pub(crate) fn through(self, router: Router) -> Self {
        Self { router, ..self }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.raw(request.body(body).expect("request")).await
    }

    /// Sends a request that the test made itself.
    pub(crate) async fn raw(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("the router is infallible");
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 64 << 20).await.expect("body");
        let json = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
        Answer { status: parts.status, headers: parts.headers, body: json }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    /// JSON, or the text as a string.
    pub(crate) body: Value,
}

impl Answer {
    /// The body, if the status is `status`.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }
}
