-- At most one instance of an exclusive app may run at any time.
alter table instances add column exclusive boolean not null default false;

-- What workers were told last about which of these they may run. Its row is what grants and those who wait for the end
-- of one take turns at.
create table worker_leases (
    node_id uuid primary key references nodes on delete cascade,
    -- Counts grants.
    serial bigint not null default 0,
    -- For how long the worker may act on the longest of those that may still hold.
    ttl_ms bigint not null default 0,
    renewed_at timestamptz
);
