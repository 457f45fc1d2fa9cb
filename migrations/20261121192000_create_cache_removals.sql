-- Build caches of apps that are gone for good: part of the desired state of the workers that built them.
create table cache_removals (
    node_id uuid not null references nodes on delete cascade,
    -- The app is gone, so this refers to nothing.
    app_id uuid not null,
    created_at timestamptz not null default now(),
    primary key (node_id, app_id)
);
