//! Tells the crate which compiler built it and from which commit, for `--version` and the metric
//! `oidc_issuer_build_info`.

#[path = "build/commit.rs"]
mod commit;

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    let version = env::var_os("RUSTC")
        .and_then(|rustc| Command::new(rustc).arg("--version").output().ok())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .and_then(|said| said.split_whitespace().nth(1).map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned());
    // Not with the prefix of the settings: `cargo run` passes it on to the service.
    println!("cargo::rustc-env=BUILD_RUSTC={version}");

    let folder = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .unwrap_or_default();
    let told = env::var("BUILD_COMMIT").ok();
    let told = told.filter(|commit| !commit.is_empty() && commit != "unknown");
    let commit = told.or_else(|| commit::commit(&folder));
    println!(
        "cargo::rustc-env=BUILD_COMMIT={}",
        commit.as_deref().unwrap_or("unknown")
    );

    println!("cargo::rerun-if-env-changed=BUILD_COMMIT");
    for path in ["build.rs", "build", "crates", "src", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={path}");
    }
    for path in commit::witnesses(&folder) {
        // Cargo reads no path that is not UTF-8.
        if let Some(path) = path.to_str() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}
