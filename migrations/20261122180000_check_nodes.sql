-- How nodes are: what their agents say, what checks over the mesh find when they say nothing, and how that changed.

alter table nodes drop constraint nodes_status_check;
alter table nodes add constraint nodes_status_check
    check (status in ('joining', 'online', 'offline', 'unreachable'));
alter table nodes
    -- Since when no agent of it is connected and heard from. Absent while one is, and before the first has called.
    add missing_since timestamptz,
    -- Checks in a row that found nobody.
    add check_failures int not null default 0,
    add checked_at timestamptz,
    -- Absent while no check is needed; due at once while it is missing.
    add next_check_at timestamptz,
    -- What the last check found instead of an answer.
    add check_error text;
update nodes set missing_since = status_since where status = 'offline';

alter table agents
    add heartbeat_at timestamptz,
    -- Its clock against ours; more is ahead.
    add clock_offset_ms bigint,
    add clock_measured_at timestamptz,
    -- Why its last message was refused. Absent once it is connected again.
    add refusal text,
    add refused_at timestamptz;

create table node_transitions (
    id uuid primary key,
    node_id uuid not null references nodes on delete cascade,
    at timestamptz not null default now(),
    from_status text not null,
    to_status text not null,
    reason text not null
);
create index node_transitions_node_id_idx on node_transitions (node_id, id);
create index node_transitions_at_idx on node_transitions (at);
