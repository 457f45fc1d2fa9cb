-- API keys that take the place of others, and nodes whose keys are refused.

alter table nodes
    -- Asks the host for another key; absent once that is in use.
    add rotation uuid,
    add rotation_asked_at timestamptz,
    -- The key that the host has made and not used yet. It has no end: the host may have stored it and lost its power.
    add next_key_digest text,
    add next_signing_key bytea,
    -- The key before this one, good until then.
    add former_key_digest text,
    add former_signing_key bytea,
    add former_key_until timestamptz,
    add key_changed_at timestamptz,
    -- Its keys are refused and the tunnels of the others have dropped it. Absent once it joined anew.
    add revoked_at timestamptz;
