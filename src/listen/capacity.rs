//! How many connections may be open at once, where the configuration does not say it.

use std::fmt;
use std::path::Path;

use super::files;
use super::memory;

const MIB: u64 = 1024 * 1024;

/// Where nothing else limits them.
const MOST: usize = 10_000;

/// Fewer would not be a service. They fit beside what is reckoned for the rest.
const LEAST: usize = 64;

/// What the process takes without connections, and what one issuer takes.
const BASE: u64 = 48 * MIB;
const ISSUER: u64 = 6 * 1024;

/// What a place is reckoned with: an idle connection takes less, one with a request under way more for a moment.
const PLACE: u64 = 16 * 1024;

/// How many connections may be open at once, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(crate) connections: usize,
    /// Bytes that all of them may take; `None` if no control group limits the memory.
    pub(crate) memory: Option<usize>,
    reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Default,
    Given,
    Files,
    /// The limit in bytes.
    Memory(u64),
}

impl Capacity {
    /// For so many issuers. `given` is what the configuration says; it is lowered only by the limit of open files,
    /// which is raised as far as possible. `root` is `/`, except in tests.
    pub(crate) fn decide(root: &Path, given: Option<usize>, issuers: usize) -> Self {
        let decided = decide(memory::limit(root), given, issuers);
        let connections = files::connections_allowed(decided.connections);
        if connections < decided.connections {
            return Self {
                connections,
                reason: Reason::Files,
                ..decided
            };
        }
        decided
    }

    /// What does not fit into memory, for the log.
    pub(crate) fn warning(&self) -> Option<String> {
        let memory = self.memory?;
        let needed = (self.connections as u64).saturating_mul(PLACE);
        (needed > memory as u64).then(|| {
            format!(
                "{} connections need {} MiB, but the memory limit leaves {} MiB for them: idle ones are closed before \
                 it is reached; raise the memory limit, or lower limits.maxConnections",
                self.connections,
                needed.div_ceil(MIB),
                memory as u64 / MIB
            )
        })
    }
}

fn decide(limit: Option<u64>, given: Option<usize>, issuers: usize) -> Capacity {
    let left = limit.map(|limit| {
        let issuers = (issuers as u64).saturating_mul(ISSUER);
        let left = limit.saturating_sub(BASE).saturating_sub(issuers);
        left.max(LEAST as u64 * PLACE)
    });
    let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let memory = left.map(number);
    let fitting = left.map(|left| number(left / PLACE));
    let (connections, reason) = match (given, limit, fitting) {
        (Some(given), ..) => (given, Reason::Given),
        (None, Some(limit), Some(fitting)) if fitting < MOST => (fitting, Reason::Memory(limit)),
        _ => (MOST, Reason::Default),
    };
    Capacity {
        connections,
        memory,
        reason,
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} connections at once: ", self.connections)?;
        match self.reason {
            Reason::Default => f.write_str("the default"),
            Reason::Given => f.write_str("limits.maxConnections"),
            Reason::Files => f.write_str("as many as the limit of open files allows"),
            Reason::Memory(limit) => write!(
                f,
                "as many as fit into the memory limit of {} MiB (limits.maxConnections sets another number)",
                limit / MIB
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_configured_number_connections_fit_into_the_memory_limit() {
        for (limit, issuers, connections) in [
            (None, 1, 10_000),
            (Some(1024 * MIB), 1, 10_000),
            (Some(128 * MIB), 0, 5120),
            (Some(128 * MIB), 1, 5119),
            (Some(128 * MIB), 1000, 4745),
            (Some(64 * MIB), 0, 1024),
            (Some(48 * MIB), 0, LEAST),
            (Some(16 * MIB), 100_000, LEAST),
        ] {
            assert_eq!(
                decide(limit, None, issuers).connections,
                connections,
                "{limit:?} {issuers}"
            );
        }
    }

    #[test]
    fn a_configured_number_wins_and_what_does_not_fit_is_told() {
        let decided = decide(Some(128 * MIB), Some(10_000), 1);
        assert_eq!(decided.connections, 10_000);
        let warning = decided.warning().unwrap();
        assert!(
            warning.starts_with("10000 connections need 157 MiB, but the memory limit leaves 79 MiB"),
            "{warning}"
        );
        assert_eq!(decide(Some(128 * MIB), Some(5000), 1).warning(), None);
        assert_eq!(decide(Some(128 * MIB), None, 1).warning(), None);
        assert_eq!(decide(None, Some(1_000_000), 1).warning(), None);
    }

    #[test]
    fn the_log_says_what_decided() {
        let says = |limit, given| decide(limit, given, 0).to_string();
        assert_eq!(says(None, None), "at most 10000 connections at once: the default");
        assert_eq!(
            says(Some(128 * MIB), Some(9)),
            "at most 9 connections at once: limits.maxConnections"
        );
        assert_eq!(
            says(Some(128 * MIB), None),
            "at most 5120 connections at once: as many as fit into the memory limit of 128 MiB \
             (limits.maxConnections sets another number)"
        );
    }

    #[test]
    fn the_limit_is_read_from_the_machine() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sys/fs/cgroup");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("memory.max"), "67108864\n").unwrap();
        assert!(Capacity::decide(root.path(), None, 0).connections <= 1024);
    }
}
