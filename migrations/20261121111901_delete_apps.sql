-- A deleted app is a tombstone first: it runs nothing and answers nothing, and keeps everything else, its slug and
-- hostname too, until its time is over.

alter table apps
    add column deleted_at timestamptz,
    add column deleted_by text;

create or replace view served_apps as
select apps.id, apps.slug, apps.slug || '.' || zones.suffix as host
from apps join zones on zones.id = apps.zone_id
where apps.deleted_at is null
  and (exists (select from instances where app_id = apps.id and in_rotation)
       or exists (select from deployments where app_id = apps.id and state = 'live'));
