-- A zone's certificates can be left to a resolver of the Traefiks that serve it: then nothing is ordered here for the
-- names of its apps, their domains included.
alter table zones add column resolver text;
alter table zones add constraint zones_resolver_check check (resolver is null or mode = 'proxy');

-- Host names, and wildcards of zones, whose certificates are a resolver's.
create view resolver_hosts as
select served_hosts.host, zones.resolver
from served_hosts join apps on apps.id = served_hosts.app_id join zones on zones.id = apps.zone_id
where zones.resolver is not null
union all
select '*.' || suffix, resolver from zones where resolver is not null;

create or replace view wanted_certificates as
with served as (
    select served_hosts.host, substr(served_hosts.host, strpos(served_hosts.host, '.') + 1) as parent,
           -- Zones are the platform's, whoever's app it is.
           case when served_hosts.domain_id is not null then projects.organization_id end as organization_id
    from served_hosts
    join apps on apps.id = served_hosts.app_id
    join zones on zones.id = apps.zone_id
    join environments on environments.id = apps.environment_id
    join projects on projects.id = environments.project_id
    where zones.resolver is null
    union all
    select host, substr(host, strpos(host, '.') + 1), null from fronts
), wildcards as (
    select '*.' || suffix as host, suffix as parent from zones
    where resolver is null
      and suffix in (select parent from served)
      and exists (select from dns_providers
                  where organization_id is null
                    and (suffix = zone or right(suffix, length(zone) + 1) = '.' || zone))
)
select host, null::uuid as organization_id from wildcards
union
select served.host, served.organization_id from served
where not exists (select from certificates
                  where certificates.host = '*.' || parent and certificates.host <> served.host
                    and chain_pem is not null and not_after > now())
  -- While the wildcard is on its way. One that cannot be had is not waited for.
  and not exists (select from wildcards
                  left join certificates on certificates.host = wildcards.host
                  where wildcards.parent = served.parent and coalesce(failures, 0) < 3);
