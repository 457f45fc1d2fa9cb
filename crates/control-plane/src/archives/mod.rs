//! Uploaded source archives: gzipped tars, checked while they come in and kept in the database until their build.

pub mod api;
pub mod check;
pub mod store;
#[cfg(test)]
mod tests;
