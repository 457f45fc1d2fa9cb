//! Terminates TLS and forwards to instances.
