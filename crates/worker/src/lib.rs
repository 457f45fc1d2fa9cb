//! Builds images and runs instances with Podman.
