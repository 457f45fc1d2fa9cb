-- With what the private repositories of an app are fetched: a token over HTTPS or a key over SSH.

create table git_access (
    app_id uuid primary key references apps on delete cascade,
    kind text not null constraint git_access_kind_check check (kind in ('token', 'key')),
    -- Host and, if it is not the usual one, port. No other is shown the secret.
    host text not null,
    -- Of a token.
    username text,
    -- The token or the private key, sealed.
    secret bytea not null,
    -- Of a key, as the host is told it.
    public_key text,
    -- `TYPE KEY` each: with what the host may prove itself over SSH. Empty until it has shown one.
    host_keys text[] not null default '{}',
    updated_by text not null,
    updated_at timestamptz not null default now(),
    constraint git_access_secret_check check ((kind = 'token') = (username is not null) and (kind = 'key') = (public_key is not null))
);
