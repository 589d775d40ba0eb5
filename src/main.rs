//! Parse, run, exit code; nothing else.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Gives the memory of closed connections back to the system, which glibc's does not.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    oidc_issuer::cli::main()
}
