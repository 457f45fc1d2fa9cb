-- Where DNS records of challenges can be set, and those that were set.

create table dns_providers (
    id uuid primary key,
    -- Absent for one of the platform, which is for every name.
    organization_id uuid references organizations on delete cascade,
    -- The names that it can set: this one and all below it.
    zone text not null,
    kind text not null constraint dns_providers_kind_check check (kind in ('rfc2136', 'cloudflare')),
    -- What people may see of the settings: server, name of the key.
    summary text not null,
    -- Sealed JSON.
    settings bytea not null,
    updated_by text not null,
    updated_at timestamptz not null default now()
);
create unique index dns_providers_organization_id_zone_key on dns_providers (organization_id, zone)
    where organization_id is not null;
create unique index dns_providers_zone_key on dns_providers (zone) where organization_id is null;

-- A row is there before its record is set and until it is removed, so that none is forgotten.
create table dns_challenges (
    id uuid primary key,
    provider_id uuid not null references dns_providers on delete cascade,
    -- Its order; the record is removed once that does not run.
    job_id uuid references jobs on delete set null,
    name text not null,
    value text not null,
    -- Attempts to remove it, and when the next one is due.
    attempts int not null default 0,
    retry_at timestamptz not null default now(),
    problem text,
    created_at timestamptz not null default now()
);
create index dns_challenges_job_id_idx on dns_challenges (job_id);
create index dns_challenges_provider_id_idx on dns_challenges (provider_id);
