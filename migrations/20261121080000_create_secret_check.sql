-- One value sealed under the secret that seals all others. Whoever starts with another secret cannot open it, and is
-- refused before a value is sealed under the wrong one.

create table secret_check (
    only_row boolean primary key default true constraint secret_check_only_row_check check (only_row),
    sealed bytea not null,
    created_at timestamptz not null default now()
);
