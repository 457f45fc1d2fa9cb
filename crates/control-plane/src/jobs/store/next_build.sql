-- The first build in the queue whose app has no other deployment on its way or before it. Whether it may start is asked
-- job by job (a scalar subquery is never made a join), so that the index is read in the queue's order and only as far
-- as the first that may: neither the length of the queue nor that of the history costs a claim anything.
select id, deployment_id from jobs
where kind = 'build' and state = 'queued' and run_after <= now()
  and (select deployments.state = 'queued' and not exists (
           select from deployments as other
           where other.app_id = deployments.app_id
             and other.state in ('queued', 'building', 'rolling-out')
             and (other.state <> 'queued' or other.number < deployments.number))
       from deployments where deployments.id = jobs.deployment_id)
order by priority desc, id limit 1 for update skip locked
