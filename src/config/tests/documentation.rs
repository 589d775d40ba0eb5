//! The documentation and the samples say what the schema says.

use std::collections::BTreeSet;

use super::*;

const DOCUMENT: &str = include_str!("../../../docs/configuration.md");

/// The first code span of each row of a table.
fn rows() -> impl Iterator<Item = &'static str> {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next())
}

#[test]
fn every_field_of_the_schema_is_documented_and_no_other() {
    let known: BTreeSet<_> = schema::TABLES
        .iter()
        .flat_map(|table| {
            table.fields.iter().map(|field| match table.path {
                "" => (*field).to_owned(),
                path => format!("{path}.{field}"),
            })
        })
        .collect();
    let told: BTreeSet<_> = rows()
        .filter(|name| !name.starts_with("--"))
        .map(str::to_owned)
        .collect();
    assert_eq!(
        known.difference(&told).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "not documented"
    );
    assert_eq!(
        told.difference(&known).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "no such field"
    );
}

#[test]
fn every_sample_is_taken() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut samples = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if let Err(problems) = load(Some(&path), &Overlay::default(), Path::new("/state")) {
            panic!("{problems}");
        }
        samples += 1;
    }
    assert!(samples >= 4);
}

#[test]
fn every_field_is_shown_in_a_sample() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let samples: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let samples = samples.concat();
    for table in schema::TABLES {
        for field in table.fields {
            assert!(
                samples.contains(&format!("{field}:")),
                "{}.{field} is in no sample",
                table.path
            );
        }
    }
}
