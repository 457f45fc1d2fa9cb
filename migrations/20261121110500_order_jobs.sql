-- Someone may move a build to the front: a higher priority goes before age.

alter table jobs add column priority int not null default 0;

-- In the order in which jobs are claimed, so that finished ones, however many are kept, cost a claim nothing.
drop index jobs_queued_idx;
create index jobs_queued_idx on jobs (kind, priority desc, id) where state = 'queued';
