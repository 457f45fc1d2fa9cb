-- When a roll-out took its last step: what it waits for has a limit.

alter table deployments add column stepped_at timestamptz;
