//! The one TLS provider of every process.

/// Installs aws-lc-rs as rustls' provider. First line of every `main` and of every test that speaks TLS;
/// a second call changes nothing.
pub fn install() {
    // Err means that a provider is installed already; it is this one, since deny.toml bans the other.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
