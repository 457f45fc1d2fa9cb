-- A program that someone runs in an instance, such as a shell: who, where and how long. What it reads and writes is
-- nobody's to keep.

create table exec_sessions (
    id uuid primary key,
    organization_id uuid not null references organizations on delete cascade,
    app_id uuid not null references apps on delete cascade,
    -- Its row may be gone when the instance is.
    instance_id uuid not null,
    node_id uuid not null references nodes,
    user_id uuid not null references users on delete cascade,
    command text[] not null,
    -- Of its terminal; null without one.
    cols int,
    rows int,
    created_at timestamptz not null default now(),
    attached_at timestamptz,
    -- The control plane that passes it on says every few seconds that it lives.
    seen_at timestamptz not null default now(),
    ended_at timestamptz,
    exit_code int,
    -- Why it ended: a stable word.
    reason text,
    constraint exec_sessions_terminal_check check ((cols is null) = (rows is null))
);
create index exec_sessions_open_idx on exec_sessions (organization_id, seen_at) where ended_at is null;
