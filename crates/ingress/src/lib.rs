//! Route table and the built-in data plane.
