-- Other keys for the tunnels of nodes.

create table mesh_rotations (
    node_id uuid primary key references nodes,
    rotation uuid not null,
    asked_at timestamptz not null default now(),
    -- The public half of what the host has made; absent before it has told.
    next_key text constraint mesh_rotations_next_key_key unique,
    -- Since when the host may use it: all peers that matter take it.
    told_at timestamptz
);

alter table nodes
    -- Absent for the key with which it joined.
    add public_key_since timestamptz,
    -- The key by which the configuration names a declared node. Another one there is another host; the node's own may
    -- have been rotated since.
    add declared_key text;

update nodes set declared_key = public_key where origin = 'declared';
