-- A worker's ingress, which serves the direct zones that point at it, is an agent of its own.
alter table agents drop constraint agents_kind_check;
alter table agents add constraint agents_kind_check check (kind in ('mesh', 'worker', 'proxy', 'ingress'));
