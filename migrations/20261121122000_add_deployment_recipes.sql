-- How a source without a Containerfile is built: preset, why, and the Containerfile that it wrote.

alter table deployments add column recipe jsonb;
