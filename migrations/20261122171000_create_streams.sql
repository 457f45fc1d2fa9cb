-- TCP and UDP ports of the proxies that lead to apps. A port is one app's, whatever is spoken there: the code sees to
-- that under a lock.
create table streams (
    protocol text not null constraint streams_protocol_check check (protocol in ('tcp', 'udp')),
    port int not null constraint streams_port_check check (port between 1 and 65535),
    app_id uuid not null references apps on delete cascade,
    options jsonb not null,
    created_by text not null,
    created_at timestamptz not null default now(),
    primary key (port, protocol)
);
create index streams_app_id_idx on streams (app_id);

-- What a proxy cannot listen on, as it said last.
create table stream_problems (
    node_id uuid not null references nodes on delete cascade,
    protocol text not null,
    port int not null,
    problem text not null,
    at timestamptz not null default now(),
    primary key (node_id, port, protocol)
);

-- Whether its port was published for UDP as well when it was made.
alter table instances add column publishes_udp boolean not null default false;

-- To streams.
alter table traffic_minutes add column connections bigint not null default 0;
alter table traffic_hours add column connections bigint not null default 0;
