//! Nodes are everybody's, apps are not: of what concerns apps on a node, members of an organization see that of their
//! own, and how much there is of others.

use std::collections::BTreeSet;

use protocol::ids::OrganizationId;
use sqlx::PgConnection;

use super::store;

/// What concerns the organization's apps, and how many things concern those of others. `app` tells whose slug it is.
pub async fn split<T>(
    conn: &mut PgConnection,
    organization: OrganizationId,
    all: Vec<T>,
    app: impl Fn(&T) -> &str,
) -> sqlx::Result<(Vec<T>, usize)> {
    let foreign = foreign(conn, organization, all.iter().map(&app)).await?;
    let (others, own): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| foreign.contains(app(one)));
    Ok((own, others.len()))
}

/// Has `hide` take the names out of what concerns apps of other organizations.
pub async fn hide<T>(
    conn: &mut PgConnection,
    organization: OrganizationId,
    mut all: Vec<T>,
    app: impl Fn(&T) -> Option<&str>,
    hide: impl Fn(&mut T),
) -> sqlx::Result<Vec<T>> {
    let foreign = foreign(conn, organization, all.iter().filter_map(&app)).await?;
    for one in &mut all {
        if app(one).is_some_and(|app| foreign.contains(app)) {
            hide(one);
        }
    }
    Ok(all)
}

/// A slug that no app has is not foreign.
async fn foreign<'a>(
    conn: &mut PgConnection,
    organization: OrganizationId,
    slugs: impl Iterator<Item = &'a str>,
) -> sqlx::Result<BTreeSet<String>> {
    let slugs: Vec<String> = slugs.map(str::to_owned).collect();
    store::foreign(conn, organization, &slugs).await
}
