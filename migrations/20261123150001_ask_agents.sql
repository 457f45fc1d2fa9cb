-- What a person waits for from an agent, which may be connected to another replica. Nothing of it outlasts a crash.
create unlogged table agent_questions (
    id uuid primary key,
    node_id uuid not null,
    agent text not null constraint agent_questions_agent_check check (agent in ('mesh', 'worker', 'proxy', 'ingress')),
    question jsonb not null,
    asked_at timestamptz not null default now(),
    answer jsonb
);
