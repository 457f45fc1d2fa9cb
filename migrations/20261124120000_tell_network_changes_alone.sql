-- Of a worker's generation: those above `network_from` up to `network_to` differ in the private network alone, as long as
-- `network_to` is the newest. Who raises a generation for another reason leaves both as they are.
alter table generations add column network_from bigint, add column network_to bigint;
