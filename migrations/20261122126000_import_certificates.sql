-- Certificates that people bring. They are served for the host names of the organization's apps that they cover, in
-- place of ordered ones.

create table imported_certificates (
    id uuid primary key,
    organization_id uuid not null references organizations on delete cascade,
    -- What the certificate is for.
    names text[] not null,
    -- Sorted, without the root.
    chain_pem text not null,
    -- Sealed.
    key_pem bytea not null,
    issuer text not null,
    not_before timestamptz not null,
    not_after timestamptz not null,
    -- SHA-256 of the certificate.
    fingerprint text not null,
    -- What whoever brought it was told.
    notes text[] not null default '{}',
    imported_by text not null,
    imported_at timestamptz not null default now()
);
create index imported_certificates_organization_id_idx on imported_certificates (organization_id);
