//! What is inspected.

use std::path::Path;

use anyhow::anyhow;

use crate::client::MAX_KUBECONFIG;
use crate::fs;
use crate::source::{FilesSettings, SourceSettings, glob, matched};

/// A source, as a service would read it.
#[derive(Debug)]
pub(super) struct Subject {
    /// What the user calls it.
    pub(super) name: String,
    pub(super) settings: SourceSettings,
    /// Its files, each with the settings to read it alone: to tell which key is in which.
    pub(super) parts: Vec<(String, SourceSettings)>,
    /// Its globs that match no file now.
    pub(super) unmatched: Vec<String>,
}

impl Subject {
    pub(super) fn source(name: &str, settings: SourceSettings) -> Self {
        Self {
            name: name.to_owned(),
            settings,
            parts: Vec::new(),
            unmatched: Vec::new(),
        }
    }

    /// Files and globs: together one source, as they would be in a configuration.
    pub(super) fn files(named: &[String]) -> anyhow::Result<Self> {
        let mut paths = Vec::new();
        let mut parts = Vec::new();
        let mut unmatched = Vec::new();
        for name in named {
            // A name that is there is meant as it is, whatever characters it has.
            if Path::new(name).exists() {
                let path = glob::escape(name);
                parts.push((name.clone(), only(path.clone())));
                paths.push(path);
                continue;
            }
            glob::check(name).map_err(|error| anyhow!("{name} is no glob: {error}"))?;
            let matched = matched(name);
            if matched.is_empty() && glob::is_glob(name) {
                unmatched.push(name.clone());
            }
            let matched = matched.into_iter();
            parts.extend(matched.map(|(shown, pattern)| (shown, only(pattern))));
            paths.push(name.clone());
        }
        Ok(Self {
            name: named.join(", "),
            settings: SourceSettings::Files(FilesSettings { paths }),
            parts,
            unmatched,
        })
    }
}

fn only(path: String) -> SourceSettings {
    SourceSettings::Files(FilesSettings { paths: vec![path] })
}

/// Whether a file is a kubeconfig rather than a key file.
pub(super) fn is_kubeconfig(name: &str) -> bool {
    let Ok(content) = fs::read_soon(Path::new(name), MAX_KUBECONFIG) else {
        return false;
    };
    let Ok(text) = std::str::from_utf8(&content) else {
        return false;
    };
    let kind = |line: &str| {
        let line: String = line.chars().filter(|c| !" \"',".contains(*c)).collect();
        line == "kind:Config" || line == "{kind:Config" || line.contains(",kind:Config")
    };
    text.lines().any(kind) || text.contains("\"kind\":\"Config\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_is_told_from_a_key_file() {
        let folder = tempfile::tempdir().unwrap();
        let named = |content: &str| {
            let path = folder.path().join("file");
            std::fs::write(&path, content).unwrap();
            is_kubeconfig(path.to_str().unwrap())
        };
        assert!(named("apiVersion: v1\nkind: Config\nclusters: []\n"));
        assert!(named(r#"{"apiVersion":"v1","kind":"Config"}"#));
        assert!(!named("-----BEGIN PUBLIC KEY-----\n"));
        assert!(!named(r#"{"keys":[]}"#));
        assert!(!is_kubeconfig("/nowhere"));
        assert!(!is_kubeconfig("/"));
    }
}
