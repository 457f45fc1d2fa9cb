-- A registry in which built images are kept besides the workers.

-- Below the host, where images of the organization's apps are named PATH/APP:v3; absent for one that is pulled from only.
alter table registries add images_path text;
create unique index registries_images_key on registries (organization_id) where images_path is not null;

-- Built images that are in a registry, or are to come or to go. One leaves it by this list alone.
create table registry_images (
    organization_id uuid not null,
    host text not null,
    -- Of an app that may be gone by now: its images still have to be removed.
    app_id uuid not null,
    image_id text not null,
    -- Its name there: HOST/PATH/APP:v3
    reference text not null,
    pushed_at timestamptz,
    -- Since when no kept release needs it.
    unneeded_since timestamptz,
    -- What a worker is to do, and which.
    action text constraint registry_images_action_check check (action in ('push', 'remove')),
    node_id uuid references nodes on delete set null,
    -- Why it could not yet, in its words.
    problem text,
    created_at timestamptz not null default now(),
    constraint registry_images_pkey primary key (host, app_id, image_id),
    constraint registry_images_registry_fkey foreign key (organization_id, host)
        references registries on delete cascade
);
create index registry_images_node_id_idx on registry_images (node_id) where node_id is not null;
