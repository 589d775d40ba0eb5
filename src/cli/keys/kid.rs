//! Kids in a table: an issuer may give one of 1024 bytes.

use std::borrow::Cow;
use std::collections::BTreeSet;

/// Columns that a kid may take. Those of API servers have 43.
const WIDTH: usize = 64;

/// How wide the kids of a table are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kids {
    width: usize,
    is_any_shortened: bool,
}

impl Kids {
    /// As wide as it takes to tell them from each other.
    pub(super) fn of<'k>(kids: impl Iterator<Item = &'k str>) -> Self {
        let kids: BTreeSet<_> = kids.collect();
        let mut width = WIDTH;
        while !all_differ(&kids, width) {
            width *= 2;
        }
        Self {
            width,
            is_any_shortened: kids.iter().any(|kid| matches!(short(kid, width), Cow::Owned(_))),
        }
    }

    /// A kid, without its middle if it is long.
    pub(super) fn show<'k>(&self, kid: &'k str) -> Cow<'k, str> {
        short(kid, self.width)
    }

    /// Whether the middle of one is left out.
    pub(super) fn is_any_shortened(&self) -> bool {
        self.is_any_shortened
    }
}

/// What is longer than any of them leaves none shortened, so there always is such a width.
fn all_differ(kids: &BTreeSet<&str>, width: usize) -> bool {
    let mut shown = BTreeSet::new();
    kids.iter().all(|kid| shown.insert(short(kid, width)))
}

fn short(kid: &str, width: usize) -> Cow<'_, str> {
    let length = kid.chars().count();
    if length <= width {
        return Cow::Borrowed(kid);
    }
    let end = width / 3;
    let begin = width - 1 - end;
    let (begin, end): (String, String) = (
        kid.chars().take(begin).collect(),
        kid.chars().skip(length - end).collect(),
    );
    Cow::Owned(format!("{begin}…{end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kid_as_api_servers_make_them_is_shown_whole() {
        let kid = "s3-kH_x.9".repeat(7);
        assert!(kid.len() < WIDTH);
        let kids = Kids::of([kid.as_str()].into_iter());
        assert_eq!(kids.show(&kid), kid);
        assert!(!kids.is_any_shortened());
    }

    #[test]
    fn a_long_kid_loses_its_middle() {
        let kid = format!("begin{}end", "ü".repeat(1000));
        let kids = Kids::of([kid.as_str()].into_iter());
        let shown = kids.show(&kid);
        assert_eq!(shown.chars().count(), WIDTH);
        assert!(shown.starts_with("begin") && shown.ends_with("end") && shown.contains('…'));
        assert!(kids.is_any_shortened());
    }

    #[test]
    fn kids_that_differ_are_shown_so_that_they_differ() {
        let like = |middle: &str| format!("{}{middle}{}", "a".repeat(300), "z".repeat(300));
        let (one, other) = (like("1"), like("2"));
        let kids = Kids::of([one.as_str(), other.as_str()].into_iter());
        assert_ne!(kids.show(&one), kids.show(&other));
        // One that is what another is shortened to.
        let short = short(&one, WIDTH).into_owned();
        let kids = Kids::of([one.as_str(), short.as_str()].into_iter());
        assert_ne!(kids.show(&one), kids.show(&short));
    }
}
