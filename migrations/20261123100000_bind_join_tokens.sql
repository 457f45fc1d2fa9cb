-- What a join token gives a host besides its roles, and why a host was refused with it.

alter table node_tokens
    add labels jsonb not null default '{}',
    add zone text,
    -- The last refusal of a host that showed it. Absent once it was used.
    add refusal text,
    add refused_at timestamptz;
