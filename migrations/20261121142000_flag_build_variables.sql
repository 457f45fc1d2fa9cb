-- Variables that build steps may mount as secrets, beside being in the app's environment.

alter table app_variables add column build_time boolean not null default false;

-- Whose event it is; null for one of the whole installation, such as a node's. No reference: the record outlives the
-- organization, and must not then be everybody's.
alter table audit_events add column organization_id uuid;
update audit_events set organization_id = (
    select organization_id from members where members.user_id = audit_events.user_id order by created_at limit 1
);
-- Another app may have had the slug before.
update audit_events set organization_id = projects.organization_id
    from apps
    join environments on environments.id = apps.environment_id
    join projects on projects.id = environments.project_id
    where audit_events.organization_id is null and target = 'app:' || apps.slug and at >= apps.created_at;
create index audit_events_organization_id_idx on audit_events (organization_id, id desc);
-- Each is told once.
create index audit_events_scrubbed_idx on audit_events (target) where action = 'secret.scrubbed';
