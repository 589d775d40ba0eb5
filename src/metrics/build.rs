//! Which build this is.

use prometheus::{Opts, Registry};

use super::register::gauge_vec;

/// The version of this release.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The version of the compiler.
pub const RUSTC: &str = env!("BUILD_RUSTC");
/// The commit, where the build was told it in the environment variable `BUILD_COMMIT`.
pub const COMMIT: &str = match option_env!("BUILD_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

pub(super) fn register(registry: &Registry) {
    let info = gauge_vec(
        registry,
        Opts::new("oidc_issuer_build_info", "Which build this is; always 1."),
        &["version", "rustc", "commit"],
    );
    info.with_label_values(&[VERSION, RUSTC, COMMIT]).set(1);
}
