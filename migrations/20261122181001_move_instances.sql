-- Nodes that are to be empty; they are cordoned besides.
create table drains (
    node_id uuid primary key references nodes on delete cascade,
    started_by text not null,
    started_at timestamptz not null default now(),
    -- How many instances should have run on it then.
    instances int not null,
    finished_at timestamptz
);

-- Instances that are to be on another node. Each is carried out by a deployment that replaces it alone.
create table moves (
    id uuid primary key,
    -- Its row goes when it is gone; the move is told for some days more.
    instance_id uuid not null,
    app_id uuid not null references apps on delete cascade,
    from_node_id uuid not null references nodes on delete cascade,
    -- Absent for wherever its placement leads.
    to_node_id uuid references nodes on delete cascade,
    cause text not null constraint moves_cause_check check (cause in ('drain', 'rebalance')),
    reason text not null,
    asked_by text not null,
    state text not null default 'waiting'
        constraint moves_state_check check (state in ('waiting', 'moving', 'done', 'failed', 'cancelled')),
    deployment_id uuid references deployments on delete set null,
    -- Why it waits or has failed.
    problem text,
    created_at timestamptz not null default now(),
    changed_at timestamptz not null default now(),
    -- When it was tried last.
    tried_at timestamptz
);
create unique index moves_open_key on moves (instance_id) where state in ('waiting', 'moving');
create index moves_from_node_id_idx on moves (from_node_id, changed_at);

-- The only node that its new instance may be on.
alter table deployments add column target_node_id uuid references nodes on delete set null;
