//! What stands outside of the blocks of a PEM file: any text, but no parts of blocks.

use std::ops::Range;

use super::{Fault, PemError, at};
use crate::key::{markers, normal};

/// The shortest line that is taken for a part of a body: those of PEM have 64 characters or 76.
const BODY: usize = 60;

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
