//! Which build this is.

use prometheus::{Opts, Registry};

use super::register::gauge_vec;

/// The version of this release.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The version of the compiler.
pub const RUSTC: &str = env!("BUILD_RUSTC");
/// The commit: as the environment variable `BUILD_COMMIT` told the build, else that of the checkout, else `unknown`.
pub const COMMIT: &str = env!("BUILD_COMMIT");

pub(super) fn register(registry: &Registry) {
    let info = gauge_vec(
        registry,
        Opts::new("oidc_issuer_build_info", "Which build this is; always 1."),
        &["version", "rustc", "commit"],
    );
    info.with_label_values(&[VERSION, RUSTC, COMMIT]).set(1);
}
