//! Nodes are everybody's, apps are not: of what concerns apps on a node, members of an organization see that of their
//! own, and how much there is of others.

use std::collections::BTreeSet;

use protocol::ids::OrganizationId;
use sqlx::PgConnection;

use super::store;

/// Those of `slugs` whose apps are the organization's.
pub async fn own<'a>(
    conn: &mut PgConnection,
    organization: OrganizationId,
    slugs: impl Iterator<Item = &'a str>,
) -> sqlx::Result<BTreeSet<String>> {
    let slugs: Vec<String> = slugs.map(str::to_owned).collect();
    store::own(conn, organization, &slugs).await
}

/// What concerns the organization's apps, and how many things concern those of others. `app` tells whose slug it is.
pub async fn split<T>(
    conn: &mut PgConnection,
    organization: OrganizationId,
    all: Vec<T>,
    app: impl Fn(&T) -> &str,
) -> sqlx::Result<(Vec<T>, usize)> {
    let own = own(conn, organization, all.iter().map(&app)).await?;
    let (seen, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| own.contains(app(one)));
    Ok((seen, others.len()))
}
