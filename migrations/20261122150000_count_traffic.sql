-- What came in for the apps: counted per minute as proxies and workers' ingresses report it, per hour later.

-- Element by element; the shorter array counts as if it went on with zeros. What is too large for an int stays at the
-- largest one: a wrong count must not stop what adds it.
create function traffic_add(one int[], other int[]) returns int[]
language sql immutable parallel safe
return (
    select coalesce(
        array_agg(least(coalesce(a, 0)::bigint + coalesce(b, 0), 2147483647)::int order by place), array[]::int[])
    from unnest(one, other) with ordinality as pair (a, b, place)
);

create aggregate traffic_sum(int[]) (sfunc = traffic_add, stype = int[], initcond = '{}');

-- The last report of each run of a program, so that one that comes again counts once.
create table traffic_reports (
    node_id uuid not null references nodes on delete cascade,
    agent text not null constraint traffic_reports_agent_check check (agent in ('proxy', 'ingress')),
    run uuid not null,
    number bigint not null,
    taken_at timestamptz not null default now(),
    primary key (node_id, agent, run)
);

-- Who reports of an app.
create table traffic_sources (
    app_id uuid not null references apps on delete cascade,
    node_id uuid not null references nodes on delete cascade,
    agent text not null constraint traffic_sources_agent_check check (agent in ('proxy', 'ingress')),
    reported_at timestamptz not null,
    primary key (app_id, node_id, agent)
);

create table traffic_minutes (
    app_id uuid not null references apps on delete cascade,
    at timestamptz not null,
    -- By first digit of the status.
    requests int[] not null,
    received_bytes bigint not null,
    sent_bytes bigint not null,
    upstream_errors bigint not null,
    -- By bucket, as the protocol has them.
    latency int[] not null,
    primary key (app_id, at)
) with (fillfactor = 70);
create index traffic_minutes_at_idx on traffic_minutes (at);

create table traffic_hours (like traffic_minutes including constraints);
alter table traffic_hours add primary key (app_id, at);
alter table traffic_hours add constraint traffic_hours_app_id_fkey
    foreign key (app_id) references apps on delete cascade;
create index traffic_hours_at_idx on traffic_hours (at);

-- Up to when hours are made of minutes; one row, none before the first.
create table traffic_rolled_up (
    id boolean primary key default true constraint traffic_rolled_up_id_check check (id),
    until timestamptz not null
);

create table traffic_paths (
    app_id uuid not null references apps on delete cascade,
    -- Begin of the hour.
    at timestamptz not null,
    path text not null,
    requests bigint not null,
    errors bigint not null,
    took_us bigint not null,
    primary key (app_id, at, path)
) with (fillfactor = 70);
create index traffic_paths_at_idx on traffic_paths (at);
