-- Organization › project › environment › app › release › deployment › instance.

create table zones (
    id uuid primary key,
    suffix text not null constraint zones_suffix_key unique,
    mode text not null default 'proxy' constraint zones_mode_check check (mode in ('proxy', 'direct')),
    created_at timestamptz not null default now()
);

create table projects (
    id uuid primary key,
    organization_id uuid not null references organizations on delete cascade,
    slug text not null,
    name text not null,
    created_at timestamptz not null default now(),
    constraint projects_organization_id_slug_key unique (organization_id, slug)
);

create table environments (
    id uuid primary key,
    project_id uuid not null references projects on delete cascade,
    slug text not null,
    created_at timestamptz not null default now(),
    constraint environments_project_id_slug_key unique (project_id, slug)
);

create table apps (
    id uuid primary key,
    environment_id uuid not null references environments,
    zone_id uuid not null references zones,
    -- Also the label of its hostname, so unique among all apps.
    slug text not null constraint apps_slug_key unique,
    -- What the next release takes: port, replicas, probe, resources, command, containerfile.
    settings jsonb not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index apps_environment_id_idx on apps (environment_id);

create table app_variables (
    app_id uuid not null references apps on delete cascade,
    name text not null,
    -- Sealed.
    value bytea not null,
    updated_at timestamptz not null default now(),
    primary key (app_id, name)
);

-- Source archives wait here for their build; removed when the deployment ends.
create table archives (
    id uuid primary key,
    app_id uuid not null references apps on delete cascade,
    sha256 text not null,
    size_bytes bigint not null,
    complete boolean not null default false,
    created_at timestamptz not null default now()
);

create table archive_chunks (
    archive_id uuid not null references archives on delete cascade,
    number int not null,
    bytes bytea not null,
    primary key (archive_id, number)
);

create table releases (
    id uuid primary key,
    app_id uuid not null references apps on delete cascade,
    number int not null,
    image_id text not null,
    image_reference text not null,
    image_size_bytes bigint not null default 0,
    -- The worker that built or pulled the image.
    image_node_id uuid references nodes on delete set null,
    source jsonb,
    commit_id text,
    -- Snapshot of the app's settings, the port settled.
    settings jsonb not null,
    -- Snapshot of the variables, one sealed JSON object.
    variables bytea not null,
    created_at timestamptz not null default now(),
    constraint releases_app_id_number_key unique (app_id, number)
);

create table deployments (
    id uuid primary key,
    app_id uuid not null references apps on delete cascade,
    number int not null,
    kind text not null
        constraint deployments_kind_check check (kind in ('build', 'image', 'settings', 'rollback')),
    source jsonb,
    -- Settings and variables as they were when the deployment was asked for; the release takes these.
    settings jsonb not null,
    variables bytea not null,
    release_id uuid references releases on delete cascade,
    state text not null default 'queued'
        constraint deployments_state_check
        check (state in ('queued', 'building', 'rolling-out', 'live', 'superseded', 'failed', 'cancelled')),
    failure jsonb,
    -- The generation of `routes` that first led to its release; absent before the switch.
    switch_generation bigint,
    -- What it waits for, in words; absent while it moves.
    waiting_for text,
    message text not null default '',
    created_by text not null,
    created_at timestamptz not null default now(),
    finished_at timestamptz,
    constraint deployments_app_id_number_key unique (app_id, number)
);
-- At most one live deployment per app, and at most one that is on its way: the deploy lock.
create unique index deployments_one_live_key on deployments (app_id) where state = 'live';
create unique index deployments_one_running_key on deployments (app_id)
    where state in ('building', 'rolling-out');
create index deployments_unfinished_idx on deployments (app_id) where state in ('queued', 'building', 'rolling-out');

create table deployment_stages (
    deployment_id uuid not null references deployments on delete cascade,
    stage text not null
        constraint deployment_stages_stage_check
        check (stage in ('queue', 'fetch', 'build', 'start', 'probe', 'route', 'drain')),
    state text not null default 'waiting'
        constraint deployment_stages_state_check check (state in ('waiting', 'running', 'done', 'failed', 'skipped')),
    started_at timestamptz,
    finished_at timestamptz,
    primary key (deployment_id, stage)
);

create table deployment_log (
    deployment_id uuid not null references deployments on delete cascade,
    seq bigint not null,
    at timestamptz not null,
    stream text not null,
    text text not null,
    primary key (deployment_id, seq)
);

create table instances (
    id uuid primary key,
    app_id uuid not null references apps on delete cascade,
    release_id uuid not null references releases on delete cascade,
    -- The deployment that started it.
    deployment_id uuid not null references deployments on delete cascade,
    node_id uuid not null references nodes,
    -- Published on the node's mesh address.
    host_port int not null constraint instances_host_port_check check (host_port between 20000 and 29999),
    -- Desired: false once it has to stop. The row goes when the worker no longer reports the instance.
    wanted boolean not null default true,
    -- Desired: in the route table.
    in_rotation boolean not null default false,
    -- The generation of `routes` that first left it out, and when that was.
    out_generation bigint,
    out_at timestamptz,
    -- Observed.
    state text not null default 'pending'
        constraint instances_state_check
        check (state in ('pending', 'pulling', 'starting', 'healthy', 'unhealthy', 'exited', 'failed', 'stopped')),
    report jsonb,
    observed_at timestamptz,
    created_at timestamptz not null default now(),
    constraint instances_node_id_host_port_key unique (node_id, host_port)
);
create index instances_app_id_idx on instances (app_id);
create index instances_release_id_idx on instances (release_id);
create index instances_deployment_id_idx on instances (deployment_id);

-- What instances print. Partitioned by day; a partition is dropped whole when its time is over.
create table instance_log (
    app_id uuid not null,
    instance_id uuid not null,
    release int not null,
    seq bigint not null,
    at timestamptz not null,
    stream text not null,
    text text not null,
    -- Order of arrival: the cursor of readers.
    id bigint generated always as identity,
    primary key (at, instance_id, seq)
) partition by range (at);
create index instance_log_app_id_id_idx on instance_log (app_id, id);
create table instance_log_default partition of instance_log default;
