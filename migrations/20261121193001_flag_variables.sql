-- What is said about variables, and their order.

alter table app_variables
    -- Nothing is deployed while it has no value.
    add column required boolean not null default false,
    -- Its value is never shown again.
    add column locked boolean not null default false,
    -- Sealed: the lines of comments above it, among which an old value may stand. Null without any.
    add column above bytea,
    add column position int not null default 0;
update app_variables set position = ordered.position from (
    select app_id, name, row_number() over (partition by app_id order by name) as position from app_variables
) as ordered where ordered.app_id = app_variables.app_id and ordered.name = app_variables.name;

-- Sealed: the lines of comments below the last variable.
alter table apps add column env_end bytea;
