-- Some requests of the apps, told whole.
create table traffic_requests (
    id bigint generated always as identity primary key,
    app_id uuid not null references apps on delete cascade,
    at timestamptz not null,
    method text not null,
    host text not null,
    path text not null,
    status int not null,
    took_us bigint not null,
    received_bytes bigint not null,
    sent_bytes bigint not null,
    -- As much of the address as the configuration lets be kept.
    client inet,
    protocol text not null,
    tls boolean not null,
    user_agent text,
    referer text,
    -- The instance that answered.
    upstream text,
    -- Name of the host that took the request.
    node text not null
);
create index traffic_requests_app_id_at_id_idx on traffic_requests (app_id, at desc, id desc);
create index traffic_requests_at_idx on traffic_requests (at);
