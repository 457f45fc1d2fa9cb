-- An app may be stopped: it keeps its release, its hostname and its route, and runs nothing.

alter table apps add column stopped_at timestamptz;

-- A deployment may run the release that is live once more: after a stop, with new instances, or with more or fewer.
alter table deployments drop constraint deployments_kind_check;
alter table deployments add constraint deployments_kind_check
    check (kind in ('build', 'image', 'settings', 'rollback', 'start', 'restart', 'scale'));

-- Apps that the proxies answer for, also when nothing of them runs.
create view served_apps as
select apps.id, apps.slug, apps.slug || '.' || zones.suffix as host
from apps join zones on zones.id = apps.zone_id
where exists (select from instances where app_id = apps.id and in_rotation)
   or exists (select from deployments where app_id = apps.id and state = 'live');
