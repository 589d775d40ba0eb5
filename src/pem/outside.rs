//! What stands outside of the blocks of a PEM file: any text, but no parts of blocks.

use std::ops::Range;

use super::{Fault, PemError, at};

/// The shortest line that is taken for a part of a body: those of PEM have 64 characters or 76.
const BODY: usize = 60;

/// What may follow BEGIN and END.
const LABELS: [&str; 5] = [
    "CERTIFICATE",
    "PRIVATE KEY",
    "PUBLIC KEY",
    "PARAMETERS",
    "REQUEST",
];

/// Checks what is outside of the blocks at these places, which are in order.
pub(super) fn check(text: &[u8], blocks: impl Iterator<Item = Range<usize>>) -> Result<(), PemError> {
    let mut from = 0;
    let mut number = 1;
    let end = text.len()..text.len();
    let mut first = None;
    for block in blocks.chain([end]) {
        let between = text.get(from..block.start).unwrap_or_default();
        for line in between.split(|byte| *byte == b'\n') {
            match fault(line) {
                // It is why others follow.
                Some(fault @ Fault::Glued) => return Err(at(number, fault)),
                Some(fault) => drop(first.get_or_insert(at(number, fault))),
                None => {}
            }
            number += 1;
        }
        // The last of these lines goes on with the block.
        number -= 1;
        number += line_breaks(text.get(block.clone()).unwrap_or_default());
        from = block.end;
    }
    first.map_or(Ok(()), Err)
}

fn line_breaks(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'\n').count() - 1
}

fn fault(line: &[u8]) -> Option<Fault> {
    if line.contains(&0) {
        return Some(Fault::Zero);
    }
    let text = normal(line);
    let markers = markers(&text);
    if markers > 1 {
        return Some(Fault::Glued);
    }
    if markers == 1 {
        let visible = text.trim_start_matches(|c: char| !c.is_ascii_graphic() && !c.is_ascii_whitespace());
        let is_hidden = visible.len() < text.len() && visible.starts_with("-----BEGIN ");
        return Some(if is_hidden { Fault::Mark } else { Fault::Marker });
    }
    let trimmed = line.trim_ascii();
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    (trimmed.len() >= BODY && trimmed.iter().all(is_base64)).then_some(Fault::Bare)
}

/// Upper case, and one kind of dash: word processors have others.
fn normal(line: &[u8]) -> String {
    let dash = |c| match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => '-',
        other => other.to_ascii_uppercase(),
    };
    String::from_utf8_lossy(line).chars().map(dash).collect()
}

/// How many BEGIN and END stand in the line that were meant as PEM: beside dashes, or before a label.
fn markers(line: &str) -> usize {
    let words = ["BEGIN", "END"]
        .into_iter()
        .flat_map(|word| line.match_indices(word));
    words
        .filter(|(at, word)| {
            let (before, after) = (line[..*at].trim_end(), &line[at + word.len()..]);
            let starts = !before.ends_with(|c: char| c.is_ascii_alphanumeric());
            let ends = !after.starts_with(|c: char| c.is_ascii_alphanumeric());
            let label = after.trim().trim_end_matches('-').trim();
            let is_label = LABELS.iter().any(|known| label.ends_with(known));
            let dashes_follow = after.trim_end().ends_with("--");
            let alone = before.trim_start() == "-" && after.trim_end().ends_with('-');
            before.ends_with("--")
                || alone
                || (starts && ends && (is_label && before.is_empty() || dashes_follow))
        })
        .count()
}
