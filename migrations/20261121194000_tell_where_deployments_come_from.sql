-- The number of the release that served when a deployment was asked for: what a rollback leads away from. Absent when
-- nothing served, and for deployments from before this was kept.
alter table deployments add column from_release int;
