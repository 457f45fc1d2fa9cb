-- Which images are on which workers, and what the workers should do about it.

-- As the worker last told it.
create table node_images (
    node_id uuid not null references nodes on delete cascade,
    image_id text not null,
    -- Built or brought there by us.
    ours boolean not null,
    -- Left by a build for later ones; no image contains it.
    cache boolean not null,
    made_at timestamptz not null,
    size_bytes bigint not null,
    -- What its removal would free.
    frees_bytes bigint not null,
    -- Since when no kept release, instance or deployment needs it, or it is more cache than allowed; absent otherwise.
    unneeded_since timestamptz,
    primary key (node_id, image_id)
);
create index node_images_image_id_idx on node_images (image_id);

-- Part of each worker's desired state. Written from `node_images` and the releases, with the worker's generation.
create table image_orders (
    node_id uuid not null references nodes on delete cascade,
    image_id text not null,
    action text not null constraint image_orders_action_check check (action in ('hold', 'remove', 'trim')),
    -- Why the worker could not do it yet, in its words.
    problem text,
    created_at timestamptz not null default now(),
    primary key (node_id, image_id)
);

-- Of all images together, as the worker last told it; absent before.
alter table nodes add images_total_bytes bigint;

-- Whether an image has served is asked of every release.
create index deployments_release_id_idx on deployments (release_id);
