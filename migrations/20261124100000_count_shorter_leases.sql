-- Of the grants those that hold for less than `ttl_ms`. The others, counted, tell how long ago the last of them was, on the
-- clock of whoever watches the count: after that nothing holds for so long any more.
alter table worker_leases add column shorter bigint not null default 0;
