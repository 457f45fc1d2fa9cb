-- Containers with our label that no desired state of their worker ever had, as the worker reports them: stopped, and
-- removed a week later.
create table strays (
    node_id uuid not null references nodes on delete cascade,
    container text not null,
    name text not null,
    instance_id uuid,
    app text,
    -- Podman's word.
    state text not null,
    reason text not null,
    found_at timestamptz not null,
    remove_at timestamptz not null,
    primary key (node_id, container)
);
