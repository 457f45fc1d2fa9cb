//! The variables of an app as one text, for editors and files: see [`dotenv`].

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use protocol::ids::AppId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::api::{VariablesPatched, saved};
use super::dotenv::{self, Dotenv, Entry};
use super::patch::still_required;
use super::store::{self, Sealed};
use super::{ABOVE_LIMIT, check_free, check_value};
use crate::app::{App, AppState};
use crate::http::caller::Caller;
use crate::http::extract::Path;
use crate::http::{Body, Code, Error, Permission, Result, guard};
use crate::{apps, audit};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::AppWrite, routes!(read_env_file))).routes(guard(
        app,
        Permission::AppWrite,
        routes!(write_env_file),
    ))
}

#[derive(Serialize, utoipa::ToSchema)]
struct EnvFile {
    /// `NAME=value` lines and comments. Locked variables are not in it.
    text: String,
    /// Changes when the text does.
    version: String,
    /// Names of the locked variables.
    locked: Vec<String>,
}

/// The variables of an app as a text, with comments and in their order. Is recorded.
#[utoipa::path(get, path = "/apps/{app}/env/file", tag = "variables", params(("app" = String, Path, description = "Id or slug")), responses((status = 200, body = EnvFile)))]
async fn read_env_file(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<EnvFile>> {
    let mut tx = app.db.begin().await?;
    let found = apps::api::find(&mut tx, &caller, &key).await?;
    audit::record(&mut tx, &caller, "env.export", &format!("app:{}", found.slug), json!({})).await?;
    let text = dotenv::write(&Present::read(&app, &mut tx, found.id).await?.dotenv);
    let locked = store::list(&mut tx, found.id).await?.into_iter().filter(|one| one.locked);
    let file = EnvFile { version: version(&text), text, locked: locked.map(|one| one.name).collect() };
    tx.commit().await?;
    Ok(Json(file))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct EnvFileChange {
    text: String,
    /// Keeps the variables that the text does not have. Else they are unset, but for locked ones, which no text has.
    #[serde(default)]
    keep: bool,
    /// The version that was changed: refused when there is another by now.
    version: Option<String>,
    /// Whether to deploy the running release's image with the new variables and settings.
    #[serde(default)]
    deploy: bool,
}

/// Sets an app's variables, their comments and order from a text.
#[utoipa::path(patch, path = "/apps/{app}/env/file", tag = "variables", params(("app" = String, Path, description = "Id or slug")), request_body = EnvFileChange, responses((status = 200, body = VariablesPatched)))]
async fn write_env_file(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Body(change): Body<EnvFileChange>,
) -> Result<Json<VariablesPatched>> {
    let wanted = checked(&change.text)?;
    let mut tx = app.db.begin().await?;
    let found = apps::api::hold(&mut tx, &caller, &key).await?;
    let present = Present::read(&app, &mut tx, found.id).await?;
    if change.version.is_some_and(|began_with| began_with != version(&dotenv::write(&present.dotenv))) {
        return Err(Error::new(Code::VariablesChanged, "somebody has changed the variables in the meantime")
            .hint("Load them again and make your change once more"));
    }
    let set = present.set(&app, &mut tx, found.id, &wanted, change.keep).await?;
    let unset = if change.keep { Vec::new() } else { present.unset(&mut tx, found.id, &wanted).await? };
    if !change.keep {
        let order: Vec<String> = wanted.entries.iter().map(|entry| entry.name.clone()).collect();
        store::arrange(&mut tx, found.id, &order).await?;
        store::set_end(&mut tx, &app.vault, found.id, &wanted.end).await?;
    }
    let detail = json!({ "set": set, "unset": unset });
    let patched = saved(&app, &mut tx, &caller, &found, detail, change.deploy).await?;
    tx.commit().await?;
    Ok(Json(patched))
}

fn checked(text: &str) -> Result<Dotenv> {
    let dotenv = dotenv::parse(text).map_err(|error| Error::invalid("text", error.to_string()))?;
    for Entry { name, value, above } in &dotenv.entries {
        check_free(name, "text")?;
        check_value(name, "text", value)?;
        check_above(above, &format!("text.{name}"))?;
    }
    check_above(&dotenv.end, "text")?;
    Ok(dotenv)
}

fn check_above(above: &str, field: &str) -> Result<()> {
    if above.len() <= ABOVE_LIMIT && !above.contains('\0') {
        return Ok(());
    }
    let message =
        format!("comments may have at most {} KiB above a variable, and no zero byte", ABOVE_LIMIT >> 10);
    Err(Error::invalid(field, message))
}

/// Tells texts apart.
fn version(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..16])
}

/// What there is.
struct Present {
    /// Without what is locked.
    dotenv: Dotenv,
    sealed: Vec<Sealed>,
    /// Values of all.
    values: BTreeMap<String, String>,
}

impl Present {
    async fn read(app: &App, conn: &mut PgConnection, of: AppId) -> Result<Self> {
        let end = store::end(conn, &app.vault, of).await?;
        let mut present =
            Self { dotenv: Dotenv { entries: Vec::new(), end }, sealed: Vec::new(), values: BTreeMap::new() };
        for sealed in store::list(conn, of).await? {
            let value = sealed.open(&app.vault, of)?;
            if !sealed.locked {
                let above = sealed.open_above(&app.vault, of)?;
                let entry = Entry { name: sealed.name.clone(), value: value.clone(), above };
                present.dotenv.entries.push(entry);
            }
            present.values.insert(sealed.name.clone(), value);
            present.sealed.push(sealed);
        }
        Ok(present)
    }

    /// Names of the variables that are new or have another value. `keep`: comments as well, where the text has none.
    async fn set(
        &self,
        app: &App,
        conn: &mut PgConnection,
        of: AppId,
        wanted: &Dotenv,
        keep: bool,
    ) -> Result<Vec<String>> {
        let mut set = Vec::new();
        for Entry { name, value, above } in &wanted.entries {
            if self.values.get(name) != Some(value) {
                store::set(conn, &app.vault, of, name, value).await?;
                set.push(name.clone());
            }
            let had = self.dotenv.entries.iter().find(|entry| entry.name == *name);
            if !(keep && above.is_empty()) && had.is_none_or(|had| had.above != *above) {
                store::set_above(conn, &app.vault, of, name, above).await?;
            }
        }
        Ok(set)
    }

    /// Unsets what the text does not have; the names.
    async fn unset(&self, conn: &mut PgConnection, of: AppId, wanted: &Dotenv) -> Result<Vec<String>> {
        let named: BTreeSet<&str> = wanted.entries.iter().map(|entry| entry.name.as_str()).collect();
        let mut unset = Vec::new();
        for Sealed { name, required, locked, .. } in &self.sealed {
            if *locked || named.contains(name.as_str()) {
                continue;
            }
            if *required {
                return Err(still_required(name, format!("text.{name}")));
            }
            store::unset(conn, of, name).await?;
            unset.push(name.clone());
        }
        Ok(unset)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use serde_json::{Value, json};
    use sqlx::PgPool;

    use crate::deployments::tests::{deploy, make_live, with_app};
    use crate::http::permission::MemberRole;
    use crate::testing::{Answer, Client};

    const FILE: &str = "/api/v1/apps/hello/env/file";
    const ENV: &str = "/api/v1/apps/hello/env";

    async fn write(client: &Client, body: Value) -> Answer {
        client.send(Method::PATCH, FILE, Some(body)).await
    }

    fn text(file: &Value) -> &str {
        file["text"].as_str().expect("text")
    }

    #[sqlx::test(migrator = "crate::db::MIGRATIONS")]
    async fn a_text_comes_back_with_its_comments_and_order(pool: PgPool) {
        let (app, owner) = with_app(pool).await;
        let written = "# The shop\n\n# its database\nURL=postgres://db\n\nA='a b'\n# end\n";
        let answer = write(&owner, json!({ "text": written })).await.expect(200);
        assert_eq!(
            (&answer["variables"][0]["name"], &answer["variables"][0]["comment"]),
            (&json!("URL"), &json!("its database"))
        );
        let file = owner.get(FILE).await.expect(200);
        assert_eq!(text(&file), written);

        let moved = "A='a b'\nNEW=1\n# its database\nURL=postgres://other\n";
        write(&owner, json!({ "text": moved, "version": file["version"] })).await.expect(200);
        assert_eq!(text(&owner.get(FILE).await.expect(200)), moved);
        let late = write(&owner, json!({ "text": "", "version": file["version"] })).await.expect(409);
        assert_eq!(late["code"], "variables_changed");

        write(&owner, json!({ "text": "LAST=1\n# why\nA=2\nURL=x\n", "keep": true })).await.expect(200);
        let kept = "# why\nA=2\nNEW=1\n# its database\nURL=x\nLAST=1\n";
        assert_eq!(text(&owner.get(FILE).await.expect(200)), kept);

        let audit = owner.get("/api/v1/audit").await.expect(200);
        assert_eq!(audit["items"][0]["action"], "env.export");
        assert_eq!(audit["items"][1]["detail"], json!({ "set": ["LAST", "A", "URL"], "unset": [] }));
        assert!(!audit.to_string().contains("postgres://"));
        app.member("acme", MemberRole::Viewer).await.get(FILE).await.expect(403);
        app.member("other", MemberRole::Owner).await.get(FILE).await.expect(404);
    }

    #[sqlx::test(migrator = "crate::db::MIGRATIONS")]
    async fn a_locked_variable_is_in_no_text_and_stays(pool: PgPool) {
        let (app, owner) = with_app(pool).await;
        make_live(&app, &deploy(&owner).await).await;
        let body = json!({ "set": { "A": "1", "KEY": "hunter2" }, "locked": { "KEY": true }, "required": { "A": true } });
        owner.patch(ENV, body).await.expect(200);
        let file = owner.get(FILE).await.expect(200);
        assert_eq!((text(&file), &file["locked"]), ("A=1\n", &json!(["KEY"])));
        let refused = write(&owner, json!({ "text": "B=1\n" })).await.expect(422);
        assert_eq!(refused["field"], "text.A");
        let answer = write(&owner, json!({ "text": "B=1\nA=2\n", "deploy": true })).await.expect(200);
        let names: Vec<_> =
            answer["variables"].as_array().expect("all").iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["B", "A", "KEY"]);
        assert_eq!(answer["deployment"]["kind"], "settings");
    }

    #[sqlx::test(migrator = "crate::db::MIGRATIONS")]
    async fn a_text_that_cannot_be_read_changes_nothing(pool: PgPool) {
        let (_app, owner) = with_app(pool).await;
        owner.patch(ENV, json!({ "set": { "A": "1" } })).await.expect(200);
        for (written, field, says) in [
            ("A=2\nhunter2\n", "text", "line 2: has no `=`"),
            ("WISEHOSTING_APP=x", "text.WISEHOSTING_APP", "for the platform"),
            ("A=\"\u{0}\"", "text.A", "zero byte"),
        ] {
            let refused = write(&owner, json!({ "text": written })).await.expect(422);
            assert_eq!(refused["field"], field);
            let message = refused["message"].as_str().expect("message");
            assert!(message.contains(says) && !message.contains("hunter2"), "{message}");
        }
        assert_eq!(text(&owner.get(FILE).await.expect(200)), "A=1\n");
    }
}
