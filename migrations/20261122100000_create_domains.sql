-- Host names of the world outside, and what is done with the requests of an app.

-- Of all routes of the app: protocol::spec::RouteOptions.
alter table apps add column route_options jsonb not null default '{}';

-- The worker that a direct zone's DNS points at.
alter table zones add column worker_id uuid references nodes on delete set null;

create table domains (
    id uuid primary key,
    app_id uuid not null references apps on delete cascade,
    -- ASCII, lower case; `*.` before a name stands for one label.
    hostname text not null,
    -- What the TXT record `_wisehosting.<hostname>` has to say: 32 random bytes, hexadecimal.
    token text not null,
    state text not null default 'pending'
        constraint domains_state_check check (state in ('pending', 'verified', 'lapsed')),
    verified_at timestamptz,
    -- The last look-up: when, and what was wrong.
    checked_at timestamptz,
    error text,
    -- Since when the record of a verified domain has been missing.
    missing_since timestamptz,
    next_check_at timestamptz not null default now(),
    -- A pending domain is forgotten then.
    expires_at timestamptz,
    -- What differs from the app's, key by key.
    route_options jsonb not null default '{}',
    created_by text not null,
    created_at timestamptz not null default now(),
    constraint domains_app_id_hostname_key unique (app_id, hostname)
);
-- Several may claim a name; one can prove it.
create unique index domains_verified_hostname_key on domains (hostname) where state = 'verified';
create index domains_next_check_at_idx on domains (next_check_at);

-- Paths of a domain that lead to other apps of its app's project.
create table domain_paths (
    id uuid primary key,
    domain_id uuid not null references domains on delete cascade,
    -- A prefix such as `/api`.
    path text not null,
    app_id uuid not null references apps on delete cascade,
    strip_prefix boolean not null default false,
    constraint domain_paths_domain_id_path_key unique (domain_id, path)
);
create index domain_paths_app_id_idx on domain_paths (app_id);

drop view served_apps;

-- Apps that are answered for, also when nothing of them runs.
create view served_apps as
select apps.id, apps.slug, apps.route_options, apps.stopped_at is not null as stopped,
       exists (select from deployments where app_id = apps.id and state in ('building', 'rolling-out')) as starting,
       apps.slug || '.' || zones.suffix as host, zones.mode, zones.worker_id
from apps join zones on zones.id = apps.zone_id
where apps.deleted_at is null
  and (exists (select from instances where app_id = apps.id and in_rotation)
       or exists (select from deployments where app_id = apps.id and state = 'live'));

-- The host names that proxies answer for, and the options of their requests.
create view served_hosts as
select id as app_id, host, null::uuid as domain_id, route_options from served_apps where mode = 'proxy'
union all
select served_apps.id, domains.hostname, domains.id, served_apps.route_options || domains.route_options
from domains join served_apps on served_apps.id = domains.app_id
where domains.state = 'verified';
