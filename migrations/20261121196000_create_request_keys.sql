-- Who asks for a deployment again with the same `Idempotency-Key`, because the answer was lost, gets the first one.

create table request_keys (
    app_id uuid not null references apps on delete cascade,
    key text not null,
    -- SHA-256 of the request's body: a key is for one request.
    digest bytea not null,
    deployment_id uuid not null references deployments on delete cascade,
    created_at timestamptz not null default now(),
    primary key (app_id, key)
);
create index request_keys_created_at_idx on request_keys (created_at);
