-- What a project may reach besides its own apps.
create table network_grants (
    id uuid primary key,
    -- Whose apps may.
    project_id uuid not null references projects on delete cascade,
    target_project_id uuid not null references projects on delete cascade,
    -- All apps of the target project when absent.
    app_id uuid references apps on delete cascade,
    created_by text not null,
    created_at timestamptz not null default now(),
    constraint network_grants_projects_check check (project_id <> target_project_id),
    constraint network_grants_place_key unique nulls not distinct (project_id, target_project_id, app_id)
);
create index network_grants_target_project_id_idx on network_grants (target_project_id);
create index network_grants_app_id_idx on network_grants (app_id);
