//! A new machine gets every program that the tests start: `tests/servers/obtain` has them all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const OBTAIN: &str = include_str!("../servers/obtain");

/// Of packages that every Debian has (`Essential: yes`): bash, dash, coreutils, util-linux.
const ESSENTIAL: [&str; 5] = ["bash", "mkfifo", "sh", "timeout", "unshare"];

/// What is obtained if nothing is named.
fn for_tests() -> BTreeSet<&'static str> {
    let (_, list) = OBTAIN.split_once("\nfor_tests=(").unwrap();
    let (list, _) = list.split_once(')').unwrap();
    list.split_whitespace().collect()
}

/// All source files of the tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_program_that_a_test_starts_by_its_name_is_obtained() {
    let known = for_tests();
    assert!(known.len() > 15, "{known:?}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["tests/suite", "benches", "crates/core/src", "src"] {
        sources(&root.join(folder), &mut files);
    }
    let mut seen = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for call in ["Command::new(\"", ".command(\"", "Programs::find(&[\""] {
            for rest in text.split(call).skip(1) {
                let name = rest.split('"').next().unwrap();
                // A path, or a part of this test.
                if name.contains(['/', ',', ' ']) || name.is_empty() {
                    continue;
                }
                let is_there = known.contains(name) || ESSENTIAL.contains(&name);
                assert!(
                    is_there,
                    "{}: {name} is not in for_tests of tests/servers/obtain",
                    file.display()
                );
                seen.insert(name.to_owned());
            }
        }
    }
    assert!(
        seen.contains("kill") && seen.contains("systemd-analyze"),
        "{seen:?}"
    );
}

#[test]
fn what_is_obtained_has_a_package_or_a_way_to_be_made() {
    // The patterns of a `case` in which the names stand: `curl | git) echo …`.
    let patterns: BTreeSet<_> = OBTAIN
        .lines()
        .filter_map(|line| line.split_once(") "))
        .flat_map(|(names, _)| names.split('|').map(str::trim))
        .collect();
    for name in for_tests() {
        assert!(
            patterns.contains(name),
            "{name}: neither package_of nor entry_of knows it"
        );
    }
}
