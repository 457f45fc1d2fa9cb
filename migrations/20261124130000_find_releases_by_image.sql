-- Who has an image is asked for each desired state of each worker.
create index releases_image_id_idx on releases (image_id);
