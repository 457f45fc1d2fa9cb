-- Instances that left the route table, or were never in it: few of very many, and looked for every two seconds.
create index instances_leaving_idx on instances (app_id) where wanted and not in_rotation;
