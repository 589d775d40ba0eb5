//! Tells the crate which compiler built it, for `--version` and the metric `oidc_issuer_build_info`.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let version = env::var_os("RUSTC")
        .and_then(|rustc| Command::new(rustc).arg("--version").output().ok())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .and_then(|said| said.split_whitespace().nth(1).map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned());
    // Not with the prefix of the settings: `cargo run` passes it on to the service.
    println!("cargo::rustc-env=BUILD_RUSTC={version}");
}
