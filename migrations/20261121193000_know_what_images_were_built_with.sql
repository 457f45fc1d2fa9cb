-- With which variables an image was built, so that a change of one is known to need a build.

-- Names of the variables that build steps may mount; null when nothing is built.
alter table deployments add column build_variables text[];
-- Builds that have not ended.
update deployments set build_variables = array(
    select name from app_variables where app_variables.app_id = deployments.app_id and build_time order by name
) where kind = 'build' and state in ('queued', 'building');

-- Those variables, one sealed JSON object like `variables`; null when nobody knows, or nothing was built. A release that
-- takes over an image takes it over with it.
alter table releases add column built_with bytea;
