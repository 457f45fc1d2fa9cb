-- How certificates are ordered: which names, by which challenge, at which CA, and what became of every order.

create table certificate_attempts (
    id uuid primary key,
    -- The certificate's row, which may be gone by now.
    host text not null,
    -- All names of the order, sorted.
    names text[] not null,
    -- The registered domain of the host, by which CAs count: `example.co.uk`.
    domain text not null,
    -- URL of the ACME directory, and whether browsers trust what it issues.
    directory text not null,
    staging boolean not null,
    kind text not null constraint certificate_attempts_kind_check check (kind in ('first', 'renewal', 'reissue')),
    challenge text not null
        constraint certificate_attempts_challenge_check check (challenge in ('http-01', 'tls-alpn-01', 'dns-01')),
    -- The order names the certificate that it replaces (RFC 9773), which CAs do not count.
    replaces boolean not null default false,
    outcome text not null default 'running'
        constraint certificate_attempts_outcome_check check (outcome in ('running', 'issued', 'failed', 'cancelled')),
    -- Of a failure: its stable word, what happened, what to do.
    code text,
    problem text,
    hint text,
    -- What the order said while it ran, oldest first.
    log text[] not null default '{}',
    -- The proxy that carried it out.
    node_id uuid references nodes on delete set null,
    node_name text,
    job_id uuid references jobs on delete set null,
    at timestamptz not null default now(),
    finished_at timestamptz
);
create index certificate_attempts_host_idx on certificate_attempts (host, at desc);
create index certificate_attempts_domain_idx on certificate_attempts (domain, at);
create index certificate_attempts_at_idx on certificate_attempts (at);
create unique index certificate_attempts_job_id_key on certificate_attempts (job_id) where job_id is not null;

alter table certificates
    -- What the certificate is for; empty before the first one, and where an earlier release stored it: `host` then.
    add column names text[] not null default '{}',
    add column source text not null default 'acme'
        constraint certificates_source_check check (source in ('acme', 'imported')),
    -- How and where the one that is there was issued.
    add column challenge text
        constraint certificates_challenge_check check (challenge in ('http-01', 'tls-alpn-01', 'dns-01')),
    add column directory text,
    -- Browsers do not trust it.
    add column staging boolean not null default false,
    -- A person asked for a new one, whatever its age.
    add column reissue boolean not null default false,
    -- When it is renewed, as the CA said (RFC 9773); absent where it said nothing: at two thirds of its lifetime.
    add column renew_at timestamptz,
    -- When the CA is asked next.
    add column ask_renewal_at timestamptz not null default now();

alter table acme_challenges
    add column kind text not null default 'http-01'
        constraint acme_challenges_kind_check check (kind in ('http-01', 'tls-alpn-01'));
