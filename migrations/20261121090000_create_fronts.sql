-- Where proxies reach the control plane itself: the host name that people use, and its listener for proxies. Written
-- from the configuration at every start.

create table fronts (
    host text primary key,
    upstream text not null
);
