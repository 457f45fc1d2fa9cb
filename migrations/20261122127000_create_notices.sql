-- What somebody should look at. Raised when something is off, told again when it gets worse, resolved when it is over.

create table notices (
    id uuid primary key,
    -- Absent for what concerns the whole installation.
    organization_id uuid references organizations on delete cascade,
    -- The trouble, and what it is about: `certificate-ends` of `certificate:shop.example.com`.
    kind text not null,
    subject text not null,
    -- How far it has come: `14-days`, `7-days`. Each is told once.
    stage text not null,
    severity text not null constraint notices_severity_check check (severity in ('warning', 'critical')),
    text text not null,
    hint text,
    first_seen timestamptz not null default now(),
    -- When the stage was reached.
    told_at timestamptz not null default now(),
    resolved_at timestamptz
);
-- One of each trouble at a time.
create unique index notices_open_key on notices
    (coalesce(organization_id, '00000000-0000-0000-0000-000000000000'), kind, subject) where resolved_at is null;
create index notices_resolved_at_idx on notices (resolved_at);
