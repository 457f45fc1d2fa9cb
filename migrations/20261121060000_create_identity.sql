-- Who may do what: users, organizations, membership, sessions, tokens, and the record of what they did.

create table users (
    id uuid primary key,
    email text not null,
    name text not null,
    password_hash text not null,
    created_at timestamptz not null default now()
);
create unique index users_email_key on users (lower(email));

create table organizations (
    id uuid primary key,
    slug text not null constraint organizations_slug_key unique,
    name text not null,
    created_at timestamptz not null default now()
);

create table members (
    organization_id uuid not null references organizations on delete cascade,
    user_id uuid not null references users on delete cascade,
    role text not null constraint members_role_check check (role in ('owner', 'admin', 'developer', 'viewer')),
    created_at timestamptz not null default now(),
    primary key (organization_id, user_id)
);

create table sessions (
    id uuid primary key,
    user_id uuid not null references users on delete cascade,
    token_digest bytea not null constraint sessions_token_digest_key unique,
    created_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    expires_at timestamptz not null,
    user_agent text not null default '',
    address inet
);
create index sessions_user_id_idx on sessions (user_id);

create table api_tokens (
    id uuid primary key,
    user_id uuid not null references users on delete cascade,
    name text not null,
    token_digest bytea not null constraint api_tokens_token_digest_key unique,
    created_at timestamptz not null default now(),
    last_used_at timestamptz,
    expires_at timestamptz
);
create index api_tokens_user_id_idx on api_tokens (user_id);

-- Opens the first-run page once; made by `admin setup-code`.
create table setup_codes (
    code_digest bytea primary key,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);

create table audit_events (
    id uuid primary key,
    at timestamptz not null default now(),
    -- `user:<email>`, `node:<name>` or `system`.
    actor text not null,
    user_id uuid references users on delete set null,
    -- `<noun>.<verb>`, for example `app.create`.
    action text not null,
    -- What was acted on, for example `app:hello`.
    target text not null,
    detail jsonb not null default '{}',
    address inet,
    request_id text
);
create index audit_events_at_idx on audit_events (at desc);
