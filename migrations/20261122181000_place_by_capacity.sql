-- What instances reserve on their node: the limits of the release that they run.
alter table instances
    add column memory_mb int not null default 512,
    add column cpu_millis int not null default 1000;
update instances
set memory_mb = coalesce((releases.settings -> 'resources' ->> 'memory_mb')::int, memory_mb),
    cpu_millis = coalesce((releases.settings -> 'resources' ->> 'cpu_millis')::int, cpu_millis)
from releases where releases.id = release_id;

-- What a worker takes.
alter table nodes
    add column takes_apps boolean not null default true,
    add column takes_builds boolean not null default true,
    add column max_instances int constraint nodes_max_instances_check check (max_instances > 0),
    -- Since when it takes nothing new.
    add column cordoned_at timestamptz;

-- When a worker was given an instance last, as a number that only grows: whose turn it is. Apart from nodes, so that
-- placing does not wait for heartbeats.
create table placement_turns (
    node_id uuid primary key references nodes on delete cascade,
    turn bigint not null
);
