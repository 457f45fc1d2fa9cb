-- When the agent's report came: an old one says nothing about now, and the host's clock in it is compared with this.
alter table agents add column reported_at timestamptz;
