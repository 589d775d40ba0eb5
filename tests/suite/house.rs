//! The plan of the house holds: imports run one way, and the pure rooms are pure.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What a pure room must not know: it decides, and gets what it decides by as arguments.
const IMPURE: [&str; 10] = [
    "tokio",
    "tokio_util",
    "hyper",
    "hyper_util",
    "axum",
    "kube",
    "reqwest",
    "rustls",
    "std::fs",
    "std::net::Tcp",
];

/// Those of the binary's own crate; all rooms of the core are pure.
const PURE: [&str; 2] = ["representation", "catalog"];

const CORE: &str = "crates/core/src";

/// The room of a file, and its code without its tests: of both crates.
fn rooms() -> Vec<(String, PathBuf, String)> {
    ["src", CORE].into_iter().flat_map(rooms_in).collect()
}

fn rooms_in(folder: &str) -> Vec<(String, PathBuf, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = top.join(folder);
    let mut files = Vec::new();
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
        .into_iter()
        .filter_map(|path| {
            let inner = path.strip_prefix(&source).unwrap();
            let room = inner.iter().next()?.to_str()?.trim_end_matches(".rs").to_owned();
            let of_tests = inner.iter().any(|part| {
                ["tests", "tests.rs", "fake.rs"]
                    .map(Path::new)
                    .contains(&Path::new(part))
            });
            let outside = ["lib", "main"].contains(&room.as_str());
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next()?.to_owned();
            let shown = path.strip_prefix(top).unwrap().to_owned();
            (!of_tests && !outside).then_some((room, shown, code))
        })
        .collect()
}

/// The lines of a file that are not comments.
fn lines(code: &str) -> impl Iterator<Item = &str> {
    code.lines()
        .map(str::trim_start)
        .filter(|line| !line.starts_with("//"))
}

/// The rooms in the order of the table in `src/lib.rs`; those in one line have one number.
fn floors() -> BTreeMap<String, usize> {
    let table = include_str!("../../src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! | "))
        .filter(|row| row.starts_with(['[', '`']));
    table
        .enumerate()
        .flat_map(|(floor, row)| {
            let names = row
                .split('|')
                .next()
                .unwrap_or_default()
                .split(['`', '[', ']', ',', ' ']);
            names
                .filter(|name| !name.is_empty())
                .map(move |name| (name.to_owned(), floor))
        })
        .collect()
}

#[test]
fn no_import_runs_upward() {
    let floors = floors();
    let mut upward = Vec::new();
    for (room, file, code) in rooms() {
        let floor = floors
            .get(&room)
            .unwrap_or_else(|| panic!("{room} is not in the table of src/lib.rs"));
        for line in lines(&code) {
            for used in line.split("crate::").skip(1) {
                let name: String = used
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if floors.get(&name).is_some_and(|other| other > floor) {
                    upward.push(format!("{}: {line}", file.display()));
                }
            }
        }
    }
    assert!(upward.is_empty(), "{upward:#?}");
}

#[test]
fn the_pure_rooms_know_no_runtime_no_network_no_files_and_no_clock() {
    let mut impure = Vec::new();
    let is_pure = |room: &str, file: &Path| file.starts_with(CORE) || PURE.contains(&room);
    for (_, file, code) in rooms().iter().filter(|(room, file, _)| is_pure(room, file)) {
        for line in lines(code) {
            let knows = |name: &str| line.contains(&format!("{name}::"));
            if line.contains("crate::clock") || IMPURE.into_iter().any(knows) {
                impure.push(format!("{}: {line}", file.display()));
            }
        }
    }
    assert!(impure.is_empty(), "{impure:#?}");
}

#[test]
fn a_file_is_one_idea() {
    for (_, file, code) in rooms() {
        assert!(
            !file.ends_with("mod.rs"),
            "{}: foo.rs beside foo/, no mod.rs",
            file.display()
        );
        let lines = code.lines().count();
        assert!(lines <= 900, "{} has {lines} lines: split it", file.display());
    }
}
