-- Projects of which the apps, their instances or their rights have changed. The workers concerned are told of it, each in
-- a transaction of its own; then the row goes.
create table network_changes (
    id bigint generated always as identity primary key,
    project_id uuid not null
);

-- Where containers are or are about to be.
create view app_containers as
select instances.app_id, instances.node_id from instances where wanted
union all
select exec_sessions.app_id, exec_sessions.node_id from exec_sessions
where release_id is not null and ended_at is null and seen_at > now() - interval '1 minute';

-- Workers with containers that may reach the project.
create view project_reachers as
select sources.target_id as project_id, app_containers.node_id
from (
    select id as target_id, id as source_id from projects
    union
    select target_project_id, project_id from network_grants
) as sources
join environments on environments.project_id = sources.source_id
join apps on apps.environment_id = environments.id
join app_containers on app_containers.app_id = apps.id;
