-- Where else a node may be dialled than at its declared endpoint: on networks of its own, and where others see it.
create table mesh_candidates (
    node_id uuid primary key references nodes on delete cascade,
    endpoints text[] not null
);

-- Pairs of nodes that do not reach each other directly, and which node hands their packets on. A pair that came back
-- to the direct way keeps its row for a while, without a relay: one that flaps stays relayed for longer each time.
create table mesh_relays (
    a uuid not null references nodes on delete cascade,
    b uuid not null references nodes on delete cascade,
    relay uuid references nodes on delete cascade,
    -- How often it came back lately.
    returns int not null default 0,
    since timestamptz not null default now(),
    primary key (a, b),
    constraint mesh_relays_order_check check (a < b)
);

-- Keys of peers that do not answer a mesh agent, so that a fleet that is well is not looked at link by link.
alter table agents add column silent_peers text[] not null default '{}';
