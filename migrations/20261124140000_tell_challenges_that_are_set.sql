-- A record is noted before it is set. Of one whose control plane went in between only this tells that it has to be set.
alter table dns_challenges add column set_at timestamptz;
