-- The slug of the app that an event is about: the activity of an app is the part of the audit log with its slug. Another
-- app may have had that before, so its age counts too.

alter table audit_events add column app text generated always as (
    case split_part(target, ':', 1)
        when 'app' then substr(target, 5)
        when 'deployment' then detail ->> 'app'
    end
) stored;
create index audit_events_app_idx on audit_events (organization_id, app, id desc) where app is not null;

-- The one instance of its release that a restart replaces; null when it is all of them. No reference: its row goes when
-- it has ended.
alter table deployments add column replaces uuid;
