-- The addresses of the mesh as agents were last told, so that a change of the configuration is noticed.
create table mesh_pool (
    single boolean primary key default true constraint mesh_pool_single_check check (single),
    cidr inet not null
);
