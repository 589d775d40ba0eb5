//! The findings for a person.

use std::fmt;

use super::findings::Findings;
use super::found::Found;
use super::replica;
use crate::display::{line, write_line};

pub(super) struct Table<'a>(pub(super) &'a Findings);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let findings = self.0;
        keys(f, &findings.keys)?;
        if !findings.quarantined.is_empty() {
            writeln!(f, "\nHeld back:")?;
            for held in &findings.quarantined {
                write_line(f, format_args!("  {}: {}", held.entry, held.reason))?;
            }
        }
        if !findings.failed.is_empty() {
            writeln!(f, "\nNot read:")?;
            for failed in &findings.failed {
                write_line(f, format_args!("  {failed}"))?;
            }
        }
        write!(f, "{}", replica::Table(&findings.replicas))?;
        if let Some(issuer) = &findings.issuer {
            writeln!(f, "\nThe source names the issuer {}.", line(issuer))?;
        }
        for note in &findings.notes {
            writeln!(f, "\nwarning: {note}")?;
        }
        if let Some(token) = &findings.token {
            writeln!(f, "\n{token}")?;
        }
        Ok(())
    }
}

fn keys(f: &mut fmt::Formatter<'_>, keys: &[Found]) -> fmt::Result {
    if keys.is_empty() {
        return writeln!(f, "No key would be published.");
    }
    let rows: Vec<_> = keys
        .iter()
        .map(|found| {
            let alg = found.key.algorithm().as_str().to_owned();
            [
                line(found.key.kid()).into_owned(),
                alg,
                found.key.describe(),
                line(&found.from.join(", ")).into_owned(),
            ]
        })
        .collect();
    let heads = ["KID", "ALG", "KEY", "FROM"].map(str::to_owned);
    let widths = [0, 1, 2].map(|column: usize| {
        let cells = std::iter::once(&heads).chain(&rows);
        let lengths = cells
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        lengths.max().unwrap_or(0)
    });
    let [kid, alg, key] = widths;
    for [a, b, c, d] in std::iter::once(&heads).chain(&rows) {
        writeln!(f, "{a:kid$}  {b:alg$}  {c:key$}  {d}")?;
    }
    match keys.len() {
        1 => writeln!(f, "\n1 key would be published."),
        n => writeln!(f, "\n{n} keys would be published."),
    }
}
