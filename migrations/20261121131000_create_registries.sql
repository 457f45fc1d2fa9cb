-- Logins to registries of images. Builds and images of the organization's apps are pulled with them.

create table registries (
    organization_id uuid not null references organizations on delete cascade,
    -- Host and perhaps port, as in the names of images.
    host text not null,
    username text not null,
    -- Sealed.
    password bytea not null,
    updated_by text not null,
    updated_at timestamptz not null default now(),
    constraint registries_pkey primary key (organization_id, host)
);
