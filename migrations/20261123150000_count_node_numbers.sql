-- How hosts are doing: a row for each minute of which an agent told, and for each hour later.
create table node_minutes (
    node_id uuid not null references nodes on delete cascade,
    at timestamptz not null,
    -- Percent of all processors; the mean, and the most of a sample.
    cpu real not null,
    cpu_most real not null,
    load real not null,
    memory_used bigint not null,
    memory_total bigint not null,
    swap_used bigint not null,
    swap_total bigint not null,
    root_used bigint not null,
    root_total bigint not null,
    -- Null where containers lie on the root's disk.
    containers_used bigint,
    containers_total bigint,
    -- Within the minute.
    received_bytes bigint not null,
    sent_bytes bigint not null,
    primary key (node_id, at)
);
create index node_minutes_at_idx on node_minutes (at);

create table node_hours (like node_minutes including constraints);
alter table node_hours add primary key (node_id, at);
alter table node_hours add constraint node_hours_node_id_fkey
    foreign key (node_id) references nodes on delete cascade;
create index node_hours_at_idx on node_hours (at);
