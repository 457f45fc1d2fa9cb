-- Hosts, their agents, and the versions of their desired state.

create table nodes (
    id uuid primary key,
    name text not null,
    roles text[] not null,
    -- `declared` in the configuration, or `enrolled` by a join token.
    origin text not null constraint nodes_origin_check check (origin in ('declared', 'enrolled')),
    mesh_address inet not null,
    public_key text not null,
    -- Address and UDP port at which others reach its tunnel.
    endpoint text,
    -- Digest that recognises the API key; absent until a declared node has called.
    api_key_digest text,
    -- The key that signs its envelopes, sealed.
    signing_key bytea,
    host jsonb not null default '{}',
    status text not null default 'joining'
        constraint nodes_status_check check (status in ('joining', 'online', 'offline')),
    status_since timestamptz not null default now(),
    last_seen_at timestamptz,
    created_at timestamptz not null default now(),
    -- A removed node keeps its row for history; its name, key and address are free again.
    removed_at timestamptz
);
create unique index nodes_name_key on nodes (name) where removed_at is null;
create unique index nodes_mesh_address_key on nodes (mesh_address) where removed_at is null;
create unique index nodes_public_key_key on nodes (public_key) where removed_at is null;

create table node_tokens (
    id uuid primary key,
    token_digest bytea not null constraint node_tokens_token_digest_key unique,
    roles text[] not null,
    -- Binds the token to one node name.
    name text,
    created_by uuid references users on delete set null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz,
    used_by uuid references nodes on delete set null
);

create table agents (
    node_id uuid not null references nodes on delete cascade,
    kind text not null constraint agents_kind_check check (kind in ('mesh', 'worker', 'proxy')),
    version text not null default '',
    build_slots int not null default 0,
    -- Which control plane holds the socket; absent when none does.
    connected_to uuid,
    connected_at timestamptz,
    last_seen_at timestamptz,
    -- The generation that the agent said is in force.
    applied_generation bigint not null default 0,
    applied_at timestamptz,
    heartbeat jsonb,
    report jsonb,
    primary key (node_id, kind)
);

-- The version of each consumer's desired state: `mesh`, `routes`, `worker:<node id>`. Raised in the transaction
-- that changes it.
create table generations (
    consumer text primary key,
    generation bigint not null default 1,
    changed_at timestamptz not null default now()
);
