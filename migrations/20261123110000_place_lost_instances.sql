-- Instances move because their node is gone.
alter table moves drop constraint moves_cause_check;
alter table moves add constraint moves_cause_check check (cause in ('drain', 'rebalance', 'lost'));

-- Since when no proxy reaches the missing node either, so that they are led to its instances only where an app has no
-- others.
alter table nodes add column unreached_since timestamptz;
