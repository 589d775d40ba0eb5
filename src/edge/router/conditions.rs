//! Conditional requests (RFC 9110 section 13.1) against the entity tag of the representation that was selected.

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Whether `If-Match` holds: absent, `*`, or a list that has this tag (strong comparison).
pub(super) fn if_match(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    !headers.contains_key(IF_MATCH)
        || any(headers, &IF_MATCH, |tag| {
            !tag.weak && tag.opaque == etag.as_bytes()
        })
}

/// Whether `If-None-Match` holds: absent, or neither `*` nor a list that has this tag (weak comparison).
/// If it does not, the client has the document already.
pub(super) fn if_none_match(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    !headers.contains_key(IF_NONE_MATCH) || !any(headers, &IF_NONE_MATCH, |tag| tag.opaque == etag.as_bytes())
}

/// Whether any line is `*` or has a tag that matches.
fn any(headers: &HeaderMap, name: &HeaderName, matches: impl Fn(Tag<'_>) -> bool) -> bool {
    headers.get_all(name).iter().any(|line| {
        let line = line.as_bytes().trim_ascii();
        line == b"*" || Tags(line).any(&matches)
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag<'h> {
    weak: bool,
    /// With its quotes.
    opaque: &'h [u8],
}

/// The tags of one line; what is no tag is passed over. A comma may stand within the quotes.
struct Tags<'h>(&'h [u8]);

impl<'h> Iterator for Tags<'h> {
    type Item = Tag<'h>;

    fn next(&mut self) -> Option<Tag<'h>> {
        loop {
            let rest = self.0.trim_ascii_start();
            let (weak, quoted) = match rest {
                [] => return None,
                [b'W', b'/', quoted @ ..] => (true, quoted),
                _ => (false, rest),
            };
            if let Some(tag) = leading_quoted(quoted) {
                let after = quoted.get(tag.len()..).unwrap_or_default().trim_ascii_start();
                if let [] | [b',', ..] = after {
                    self.0 = after.get(1..).unwrap_or_default();
                    return Some(Tag { weak, opaque: tag });
                }
            }
            let comma = rest
                .iter()
                .position(|b| *b == b',')
                .map_or(rest.len(), |at| at + 1);
            self.0 = rest.get(comma..).unwrap_or_default();
        }
    }
}

/// `DQUOTE *etagc DQUOTE` at the start of `text`.
fn leading_quoted(text: &[u8]) -> Option<&[u8]> {
    let after = text.strip_prefix(b"\"")?;
    let end = after.iter().position(|b| *b == b'"')?;
    text.get(..end + 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ETAG: HeaderValue = HeaderValue::from_static("\"x,y\"");

    #[expect(clippy::needless_pass_by_value, reason = "the names are constants")]
    fn holds(name: HeaderName, lines: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&name, HeaderValue::from_str(line).unwrap());
        }
        if name == IF_MATCH {
            if_match(&headers, &ETAG)
        } else {
            if_none_match(&headers, &ETAG)
        }
    }

    #[test]
    fn without_the_header_both_hold() {
        assert!(holds(IF_MATCH, &[]));
        assert!(holds(IF_NONE_MATCH, &[]));
    }

    #[test]
    fn if_none_match_compares_weakly() {
        for line in [
            "\"x,y\"",
            "W/\"x,y\"",
            "*",
            " * ",
            "\"a\", W/\"x,y\"",
            "\"a\",\"x,y\" ,\"b\"",
            ", ,\"x,y\"",
        ] {
            assert!(!holds(IF_NONE_MATCH, &[line]), "{line}");
        }
        for line in [
            "",
            "\"a\"",
            "x,y",
            "\"x\", \"y\"",
            "w/\"x,y\"",
            "\"x,y",
            "\"x,y\"z",
            "\"X,Y\"",
            "\"*\"",
        ] {
            assert!(holds(IF_NONE_MATCH, &[line]), "{line}");
        }
    }

    #[test]
    fn if_match_compares_strongly() {
        for line in ["\"x,y\"", "*", "\"a\", \"x,y\"", "W/\"x,y\", \"x,y\""] {
            assert!(holds(IF_MATCH, &[line]), "{line}");
        }
        for line in ["", "\"a\"", "W/\"x,y\"", "x,y"] {
            assert!(!holds(IF_MATCH, &[line]), "{line}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        assert!(!holds(IF_NONE_MATCH, &["\"a\"", "\"x,y\""]));
        assert!(holds(IF_MATCH, &["\"a\"", "\"x,y\""]));
        assert!(!holds(IF_MATCH, &["\"a\"", "\"b\""]));
    }

    #[test]
    fn what_is_no_tag_is_passed_over() {
        assert!(!holds(IF_NONE_MATCH, &["garbage, \"x,y\""]));
        assert!(!holds(IF_NONE_MATCH, &["\"a\" b, \"x,y\""]));
    }

    proptest! {
        #[test]
        fn no_header_panics(line in "[ -~\t]{0,60}") {
            holds(IF_MATCH, &[&line]);
            holds(IF_NONE_MATCH, &[&line]);
        }

        #[test]
        fn a_tag_is_found_in_any_list(before in prop::collection::vec("[!-~&&[^\"]]{0,5}", 0..4), weak: bool) {
            let mut list: Vec<_> = before.iter().map(|tag| format!("\"{tag}\"")).collect();
            list.push(format!("{}\"x,y\"", if weak { "W/" } else { "" }));
            prop_assert!(!holds(IF_NONE_MATCH, &[&list.join(", ")]));
            prop_assert_eq!(holds(IF_MATCH, &[&list.join(",")]), !weak || before.iter().any(|tag| tag == "x,y"));
        }
    }
}
