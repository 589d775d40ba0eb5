//! What matters in a folder that is watched.

use std::path::Path;

use super::glob::Pattern;

/// What matters in a folder.
#[derive(Clone, Debug, Default)]
pub(super) struct Interest {
    /// Everything.
    pub(super) all: bool,
    /// Names on the way to a file.
    pub(super) names: Vec<Pattern>,
}

impl Interest {
    /// All that matters to either.
    pub(super) fn add(&mut self, other: Self) {
        self.all |= other.all;
        self.names.extend(other.names);
    }

    /// Whether a change at this path, which is in the folder, matters.
    pub(super) fn concerns(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default();
        self.all || self.names.iter().any(|pattern| pattern.matches(name))
    }
}
