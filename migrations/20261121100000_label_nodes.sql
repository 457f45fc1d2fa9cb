-- What people call their hosts besides the name.

alter table nodes
    -- Set by people, at first by the host that joined.
    add labels jsonb not null default '{}',
    -- Set by the configuration at each start; these win.
    add declared_labels jsonb not null default '{}',
    -- DNS suffix that the host serves.
    add zone text;
