-- Where a project's containers may open connections outside of the private network: a list of networks and ports;
-- anywhere public when null.
alter table projects add column egress jsonb;
