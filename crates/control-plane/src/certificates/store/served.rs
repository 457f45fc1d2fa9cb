use protocol::ids::OrganizationId;
use sqlx::PgConnection;

use crate::certificates::cover::Served;

/// Certificates for any of `names` that proxies serve for hosts of the organization, those that take the place of others
/// first: imported ones, then wildcards.
pub async fn served(
    conn: &mut PgConnection,
    organization: OrganizationId,
    names: &[String],
) -> sqlx::Result<Vec<Served>> {
    sqlx::query_as!(
        Served,
        r#"select names as "names!", issuer, not_after as "not_after!", imported as "imported!" from (
               select names, issuer, not_after, true as imported, false as staging, imported_at, false as wildcard
               from imported_certificates
               where organization_id = $1 and not_after > now() and names && $2
                 -- As where they are served: none that fits a name of others for which a resolver orders.
                 and not exists (
                     select from owned_hosts join resolver_hosts on resolver_hosts.host = owned_hosts.host
                     where owned_hosts.organization_id <> $1
                       and names && array[owned_hosts.host,
                                          '*.' || substr(owned_hosts.host, strpos(owned_hosts.host, '.') + 1)])
               union all
               select case when names = '{}' then array[host] else names end, issuer, not_after, false, staging, null,
                      host like '*.%'
               from certificates
               where chain_pem is not null and not_after > now()
                 and (host = any($2) or cardinality(names) > 1 and names && $2)
                 and host not in (select '*.' || suffix from zones where resolver is not null)
           ) as served
           order by imported desc, imported_at desc, staging, wildcard desc, not_after desc"#,
        organization as _,
        names
    )
    .fetch_all(conn)
    .await
}
