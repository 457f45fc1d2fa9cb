-- Whose a host name is: of the app's place in its zone, and of verified domains. Also while nothing of the app runs, and
-- while it is deleted but may come back.

create view owned_hosts as
select projects.organization_id, apps.id as app_id, apps.slug as app, apps.slug || '.' || zones.suffix as host
from apps
join environments on environments.id = apps.environment_id
join projects on projects.id = environments.project_id
join zones on zones.id = apps.zone_id
union all
select projects.organization_id, apps.id, apps.slug, domains.hostname
from domains
join apps on apps.id = domains.app_id
join environments on environments.id = apps.environment_id
join projects on projects.id = environments.project_id
where domains.state = 'verified';
