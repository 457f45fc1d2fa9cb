-- Each app has a place in the range of the private network for as long as it exists.
create sequence apps_private_number_seq as integer minvalue 1 maxvalue 2097150;
alter table apps
    add column private_number integer not null default nextval('apps_private_number_seq')
        constraint apps_private_number_key unique;
alter sequence apps_private_number_seq owned by apps.private_number;
