-- What the worker of a node put right, the newest first.
create index audit_events_corrections_idx on audit_events (actor, id desc)
    where action in ('app.correct', 'node.correct');
