-- One zone is that of new apps.
alter table zones add column is_default boolean not null default false;
update zones set is_default = true where id = (select id from zones order by created_at, id limit 1);
create unique index zones_is_default_key on zones (is_default) where is_default;

-- At which visitors reach a direct zone; none for the proxies' own 80 and 443.
alter table zones add column port int constraint zones_port_check check (port between 1 and 65535);
update zones set port = 8080 where mode = 'direct';
