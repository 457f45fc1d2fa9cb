//! Releases: immutable images with the settings and variables that they run with, numbered per app.

pub mod store;
