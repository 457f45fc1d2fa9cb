-- What lies on workers besides the instances, as they told it last.
create table node_storage (
    node_id uuid primary key references nodes on delete cascade,
    report jsonb not null,
    reported_at timestamptz not null default now()
);

-- Clean-ups that people asked for.
create table node_cleanups (
    id uuid primary key,
    node_id uuid not null references nodes on delete cascade,
    started_by text not null,
    at timestamptz not null default now(),
    -- Ids of the images that were to go.
    images text[] not null,
    -- What became of it; null until the worker has answered.
    outcome jsonb,
    finished_at timestamptz
);
create index node_cleanups_node_id_idx on node_cleanups (node_id, at desc);
