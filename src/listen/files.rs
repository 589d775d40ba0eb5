//! How many connections the limit of open files allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Open files beside the connections: listeners, key files, sources, the admin listener, the runtime's own.
const OTHER_FILES: u64 = 256;

/// Raises the limit of open files as far as this process may, and tells how many connections it then allows.
pub(crate) fn connections_allowed(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let needed = (wanted as u64).saturating_add(OTHER_FILES);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let mut current = limit.current.unwrap_or(u64::MAX);
    if current < needed && current < most {
        let raised = needed.min(most);
        if setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(raised),
                maximum: limit.maximum,
            },
        )
        .is_ok()
        {
            current = raised;
        }
    }
    let allowed = usize::try_from(current.saturating_sub(OTHER_FILES).max(current / 2))
        .unwrap_or(usize::MAX)
        .max(1);
    if allowed < wanted {
        warn!(
            "at most {allowed} connections, not {wanted}, since this process may open {current} files: \
             raise its limit (ulimit -n, LimitNOFILE)"
        );
    }
    wanted.min(allowed)
}
