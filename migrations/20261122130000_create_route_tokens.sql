-- Tokens by which a Traefik that is not ours reads its routes, besides the one of the configuration.
create table route_tokens (
    id uuid primary key,
    -- Who has it. While a token is replaced, the old and the new one have the same name.
    name text not null,
    token_digest bytea not null constraint route_tokens_token_digest_key unique,
    -- The worker whose zones it may read; the table of the proxies when absent.
    worker_id uuid references nodes on delete cascade,
    created_by text not null,
    created_at timestamptz not null default now(),
    -- To the minute.
    last_used_at timestamptz,
    expires_at timestamptz
);
