//! Patterns of paths, as a shell expands them. Names are bytes: a name that is not UTF-8 is a name like any other.
//!
//! `*` matches any characters but `/`, `?` one, `[abc]`, `[a-z]` and `[!a]` one of a set, `**` as a whole component any
//! number of folders. A dot at the start of a name has to be written (`..data`).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A pattern of one name: what stands between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Token>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// One character; of what is no UTF-8, one byte.
    One,
    Any,
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// Why a text is no pattern.
pub(crate) fn check(text: &str) -> Result<(), &'static str> {
    text.split('/').filter(|name| *name != "**").try_for_each(|name| {
        if name.contains("**") {
            return Err("`**` stands for folders, and has to be alone between slashes");
        }
        Pattern::new(name).map(drop)
    })
}

/// Whether a text has characters of patterns.
pub(crate) fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The pattern that matches this text alone.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '*' | '?' | '[' | ']' => escaped.extend(['[', character, ']']),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The pattern that matches a path; where a byte of it is no text, also others that differ in that byte.
pub(super) fn pattern_of(path: &Path) -> String {
    let mut pattern = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        pattern.push_str(&escape(chunk.valid()));
        pattern.extend(chunk.invalid().iter().map(|_| '?'));
    }
    pattern
}

impl Pattern {
    pub(super) fn new(text: &str) -> Result<Self, &'static str> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            rest = &rest[first.len_utf8()..];
            match first {
                '*' if tokens.last() == Some(&Token::Any) => {}
                '*' => tokens.push(Token::Any),
                '?' => tokens.push(Token::One),
                '[' => {
                    let (set, after) = set(rest).ok_or("a `[` has no `]` that ends its set")?;
                    tokens.push(set);
                    rest = after;
                }
                literal => {
                    let mut bytes = [0; 4];
                    let bytes = literal.encode_utf8(&mut bytes).bytes();
                    tokens.extend(bytes.map(Token::Byte));
                }
            }
        }
        Ok(Self(tokens))
    }

    /// The pattern of one name alone.
    pub(super) fn literal(name: &OsStr) -> Self {
        Self(name.as_bytes().iter().copied().map(Token::Byte).collect())
    }

    pub(super) fn matches(&self, name: &OsStr) -> bool {
        let name = name.as_bytes();
        let is_hidden = name.first() == Some(&b'.');
        if is_hidden && self.0.first() != Some(&Token::Byte(b'.')) {
            return false;
        }
        self.matches_bytes(name)
    }

    /// Goes back to the last `*` alone, so that no pattern takes long.
    fn matches_bytes(&self, name: &[u8]) -> bool {
        let (mut next_token, mut at) = (0, 0);
        let mut star = None;
        loop {
            let taken = match self.0.get(next_token) {
                None if at == name.len() => return true,
                None => None,
                Some(Token::Any) => {
                    star = Some((next_token + 1, at));
                    next_token += 1;
                    continue;
                }
                Some(Token::Byte(byte)) => (name.get(at) == Some(byte)).then_some(1),
                Some(Token::One) => next(&name[at..]).map(|(_, length)| length),
                Some(Token::Set { negated, ranges }) => next(&name[at..])
                    .filter(|(character, _)| {
                        let is_in =
                            |character| ranges.iter().any(|(from, to)| (*from..=*to).contains(&character));
                        character.is_some_and(is_in) != *negated
                    })
                    .map(|(_, length)| length),
            };
            if let Some(length) = taken {
                at += length;
                next_token += 1;
                continue;
            }
            match star {
                Some((after, from)) if from < name.len() => {
                    star = Some((after, from + 1));
                    (next_token, at) = (after, from + 1);
                }
                _ => return false,
            }
        }
    }
}

/// The next character, `None` for a byte that is no UTF-8, and how many bytes it has.
fn next(name: &[u8]) -> Option<(Option<char>, usize)> {
    let first = name.get(..name.len().min(4))?;
    let valid = match std::str::from_utf8(first) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&first[..error.valid_up_to()]).unwrap_or_default(),
    };
    match valid.chars().next() {
        Some(character) => Some((Some(character), character.len_utf8())),
        None => (!name.is_empty()).then_some((None, 1)),
    }
}

/// A set from behind its `[`, and what follows its `]`. A `]` at its start is one of the set.
fn set(text: &str) -> Option<(Token, &str)> {
    let (negated, text) = match text.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let first = text.chars().next()?;
    let end = first.len_utf8() + text[first.len_utf8()..].find(']')?;
    let characters: Vec<char> = text[..end].chars().collect();
    let mut ranges = Vec::new();
    let mut rest = characters.as_slice();
    loop {
        rest = match rest {
            [from, '-', to, after @ ..] => {
                ranges.push((*from, *to));
                after
            }
            [one, after @ ..] => {
                ranges.push((*one, *one));
                after
            }
            [] => return Some((Token::Set { negated, ranges }, &text[end + 1..])),
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: impl AsRef<[u8]>) -> bool {
        Pattern::new(pattern)
            .unwrap()
            .matches(OsStr::from_bytes(name.as_ref()))
    }

    #[test]
    fn names_match_as_in_a_shell() {
        for (pattern, name) in [
            ("*.pem", "a.pem"),
            ("*", "a"),
            ("?", "\u{e9}"),
            ("[\u{e0}-\u{ff}].pem", "\u{e9}.pem"),
            ("[]]", "]"),
            ("[!]]", "a"),
            ("[a-]", "-"),
            ("a*b*c", "axxbxxbxc"),
            (".*", ".data"),
            ("..data", "..data"),
            ("{a,b}", "{a,b}"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*", ".hidden"),
            ("?hidden", ".hidden"),
            ("[.]hidden", ".hidden"),
            ("*.pem", "a.pub"),
            ("a*b*c", "axxbxx"),
            ("[!a]", "a"),
            ("?", ""),
            ("{a,b}", "a"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        assert!(check("/a/**/*.pem").is_ok() && check("/a/[ab/*").is_err() && check("/a/b**").is_err());
    }

    #[test]
    fn a_name_that_is_not_utf_8_matches_like_any_other() {
        assert!(matches("*.pem", b"caf\xe9.pem"));
        assert!(matches("caf?.pem", b"caf\xe9.pem"));
        assert!(matches("caf[!a].pem", b"caf\xe9.pem"));
        assert!(!matches("caf[a-z].pem", b"caf\xe9.pem"));
        assert!(!matches("*.pub", b"caf\xe9.pem"));
        assert!(Pattern::literal(OsStr::from_bytes(b"caf\xe9")).matches(OsStr::from_bytes(b"caf\xe9")));
    }

    proptest! {
        #[test]
        fn an_escaped_name_matches_itself_alone(name in "[a*?!\\[\\]-]{1,6}", other in "[a*?!\\[\\]-]{1,6}") {
            prop_assert!(matches(&escape(&name), &name));
            prop_assert_eq!(matches(&escape(&name), &other), name == other);
        }

        /// The crate that was used before, which takes text alone.
        #[test]
        fn patterns_match_what_they_always_matched(pattern in "[ab*?!\\[\\].-]{0,6}", name in "[ab.\\]!-]{0,5}") {
            let options = glob::MatchOptions {
                case_sensitive: true,
                require_literal_separator: true,
                require_literal_leading_dot: true,
            };
            if let (Ok(theirs), Ok(ours)) = (glob::Pattern::new(&pattern), Pattern::new(&pattern)) {
                prop_assert_eq!(ours.matches(OsStr::new(&name)), theirs.matches_with(&name, options));
            }
        }

        #[test]
        fn no_bytes_panic(pattern in ".{0,20}", name in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(pattern) = Pattern::new(&pattern) {
                let _ = pattern.matches(OsStr::from_bytes(&name));
            }
        }
    }
}
