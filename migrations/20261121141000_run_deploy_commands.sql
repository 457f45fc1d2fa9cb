-- Commands of a release run as instances that serve nobody.

alter table instances
    add column task text constraint instances_task_check check (task in ('pre-deploy', 'post-deploy'));

-- How far the command before the roll-out is. Its instance may vanish with its node: that it began must not.
alter table deployments
    add column preparation text constraint deployments_preparation_check check (preparation in ('begun', 'done'));
