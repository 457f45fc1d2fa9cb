-- Durable work, claimed once with `for update skip locked` and run under a lease.

create table jobs (
    id uuid primary key,
    -- `build` for workers, `certificate` for proxies.
    kind text not null constraint jobs_kind_check check (kind in ('build', 'certificate')),
    state text not null default 'queued'
        constraint jobs_state_check check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    deployment_id uuid references deployments on delete cascade,
    -- The hostname of a certificate job.
    host text,
    -- Sealed JSON.
    payload bytea not null,
    node_id uuid references nodes on delete set null,
    lease_until timestamptz,
    cancel_requested boolean not null default false,
    run_after timestamptz not null default now(),
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    error text
);
create index jobs_queued_idx on jobs (kind, run_after, id) where state = 'queued';
create index jobs_running_idx on jobs (node_id) where state = 'running';
create unique index jobs_deployment_id_key on jobs (deployment_id) where deployment_id is not null;
-- One order per hostname at a time.
create unique index jobs_host_key on jobs (host) where state in ('queued', 'running');

create table certificates (
    host text primary key,
    state text not null default 'pending'
        constraint certificates_state_check check (state in ('pending', 'issued', 'failed')),
    chain_pem text,
    -- Sealed.
    key_pem bytea,
    issuer text,
    not_before timestamptz,
    not_after timestamptz,
    -- Consecutive failures, and when the next order may start.
    failures int not null default 0,
    retry_at timestamptz not null default now(),
    error text,
    updated_at timestamptz not null default now()
);

create table acme_accounts (
    directory text primary key,
    -- Sealed.
    credentials bytea not null,
    created_at timestamptz not null default now()
);

create table acme_challenges (
    token text primary key,
    job_id uuid not null references jobs on delete cascade,
    host text not null,
    key_authorization text not null,
    -- The generation of `routes` that first contains it.
    generation bigint not null,
    expires_at timestamptz not null
);
