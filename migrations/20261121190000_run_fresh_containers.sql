-- A program may get a container of its own, made from the release that serves and removed at its end. It is no instance:
-- nothing keeps it running, and no route leads to it.

alter table exec_sessions
    alter column instance_id drop not null,
    add column release_id uuid references releases on delete cascade,
    add constraint exec_sessions_place_check check ((instance_id is null) <> (release_id is null));
