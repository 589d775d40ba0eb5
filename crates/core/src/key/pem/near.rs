//! Lines that were meant as BEGIN or END, and bodies that lost them: no reader of PEM finds these, and none tells.

use std::collections::HashSet;
use std::ops::Range;

use super::decode;
use crate::key::{PemFault, Reason, forms};

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

/// Upper case, and one kind of dash: word processors have others.
pub fn normal(line: &[u8]) -> String {
    let dash = |c| match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2500}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => '-',
        other => other.to_ascii_uppercase(),
    };
    String::from_utf8_lossy(line).chars().map(dash).collect()
}

/// How many BEGIN and END stand in such a line that were meant as PEM: beside dashes, or before a label. In linear time,
/// whatever the line is.
pub fn markers(line: &str) -> usize {
    let indent = line.len() - line.trim_start().len();
    let whole = line.trim_end();
    let label = whole.trim_end_matches('-').trim_end();
    let known = LABELS.iter().find(|known| label.ends_with(**known));
    let label = known.map(|known| label.len() - known.len());
    let words = ["BEGIN", "END"]
        .into_iter()
        .flat_map(|word| line.match_indices(word));
    words
        .filter(|(at, word)| {
            let end = at + word.len();
            let (before, after) = (line[..*at].trim_end(), &line[end..]);
            let starts = !before.ends_with(|c: char| c.is_ascii_alphanumeric());
            let ends = !after.starts_with(|c: char| c.is_ascii_alphanumeric());
            let is_label = label.is_some_and(|label| end <= label);
            let follows = |dashes: &str| whole.ends_with(dashes) && end + dashes.len() <= whole.len();
            let alone = before.len() == indent + 1 && before.ends_with('-') && follows("-");
            before.ends_with("--")
                || alone
                || (starts && ends && (is_label && before.is_empty() || follows("--")))
        })
        .count()
}

/// Whether a line is meant as BEGIN or END and is none. In a key file prose may mention them, and a comment have one: only
/// what begins the line counts.
fn is_near(line: &[u8]) -> bool {
    if is_marker(line) {
        return false;
    }
    let text = normal(line);
    let text = text.trim_start_matches(|c: char| !c.is_ascii_graphic());
    let begins = ["-", "BEGIN", "END"].iter().any(|start| text.starts_with(start));
    begins && markers(text) > 0
}

/// Whether it is one of those that the scanner knows.
fn is_marker(line: &[u8]) -> bool {
    line.starts_with(b"-----BEGIN ") || line.starts_with(b"-----END ")
}

/// Whether a text has a line that is meant as BEGIN or END, and is none.
pub(in crate::key) fn resembles(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').any(is_near)
}

/// What stands outside of the blocks that were found: their spans in order, and the lines of those that were told.
pub(in crate::key) fn strays(
    text: &[u8],
    taken: &[Range<usize>],
    told: &HashSet<usize>,
) -> Vec<(usize, PemFault)> {
    let mut found = Vec::new();
    let mut taken = taken.iter().peekable();
    let mut run: Option<Run> = None;
    // Whether a body would belong to a BEGIN line that was told, or taken.
    let mut is_begun = false;
    // Whether that was indented, and told: its END is too, then.
    let mut is_indented = false;
    let mut at = 0;
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let (start, number) = (at, number + 1);
        at += line.len() + 1;
        while taken.next_if(|span| span.end <= start).is_some() {}
        if taken.peek().is_some_and(|span| span.contains(&start)) {
            found.extend(run.take().and_then(|run| run.ended(text)));
            is_begun = false;
            continue;
        }
        let trimmed = line.trim_ascii();
        let is_line = is_marker(line);
        if is_line || is_near(line) || told.contains(&number) {
            // What is before an END line belongs to that, and is told with it.
            run = None;
            let is_told = told.contains(&number) || (is_indented && trimmed.starts_with(b"-----END "));
            is_begun = normal(line).contains("BEGIN");
            is_indented = is_begun && is_told && line.first().is_some_and(u8::is_ascii_whitespace);
            if !is_line && !is_told {
                found.push((number, PemFault::Marker));
            }
            continue;
        }
        let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
        let is_body = !trimmed.is_empty() && trimmed.iter().all(is_base64);
        match &mut run {
            Some(run) if is_body => run.span.end = (start + line.len()).min(text.len()),
            None if is_body && trimmed.len() >= BODY && !is_begun => {
                let span = start..start + line.len();
                run = Some(Run { line: number, span });
            }
            _ if is_body => {}
            _ => {
                found.extend(run.take().and_then(|run| run.ended(text)));
                // Headers and blank lines may stand before a body.
                is_begun &= trimmed.is_empty() || trimmed.contains(&b':');
            }
        }
    }
    found.extend(run.take().and_then(|run| run.ended(text)));
    found
}

/// Lines of base64, one after the other.
struct Run {
    line: usize,
    span: Range<usize>,
}

impl Run {
    /// A fault, if it holds a key, or what would be one: other text may be base64 too.
    fn ended(self, text: &[u8]) -> Option<(usize, PemFault)> {
        let decoded = decode(text.get(self.span)?).ok()?;
        match forms::key(&decoded) {
            Err(Reason::Der { .. }) => None,
            _ => Some((self.line, PemFault::Bare)),
        }
    }
}
