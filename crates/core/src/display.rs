//! Text that others wrote, made safe to show: file names, key IDs, names of contexts, claims, bodies of errors.
//!
//! A terminal obeys control characters, and other characters are invisible or change the order of what stands around
//! them (Unicode's `Default_Ignorable_Code_Point`, bidirectional controls, line separators). They are escaped where text
//! leaves the process: in `cli`'s output and log, in the audit file, in `/readyz` and in `/metrics`. Escaping what was escaped
//! changes nothing, but for labels and words of a shell.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Whether a character cannot be seen, or acts on the terminal or on the text around it.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// In one line: a line break is escaped as well.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden, |c, out| out.extend(c.escape_default()))
}

/// In as many lines as it has.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden_in_lines, |c, out| out.extend(c.escape_default()))
}

/// Of a JSON text: characters that JSON allows as they are. The text stays equal in meaning.
pub fn json(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden_in_lines, |c, out| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

/// A path in one line; bytes that are no UTF-8 are shown as `\xff`.
pub fn path(path: impl AsRef<Path>) -> String {
    let mut shown = String::new();
    for chunk in path.as_ref().as_os_str().as_bytes().utf8_chunks() {
        shown.push_str(&line(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// Quotes a word for a shell where it needs it. What cannot be shown (bytes that are not UTF-8, hidden characters) is
/// written in dollar quotes, so that the command still means the same file.
pub fn shell_word(word: impl AsRef<OsStr>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
    let word = word.as_ref();
    match word.to_str().filter(|text| !text.contains(is_hidden)) {
        Some(text) if !text.is_empty() && text.chars().all(plain) => text.to_owned(),
        Some(text) => format!("'{}'", text.replace('\'', r"'\''")),
        None => format!("$'{}'", dollar_quoted(word.as_bytes())),
    }
}

/// POSIX.1-2024 section 2.2.4.
fn dollar_quoted(bytes: &[u8]) -> String {
    let mut quoted = String::new();
    for byte in bytes {
        match byte {
            b'\\' | b'\'' => quoted.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => quoted.push(char::from(*byte)),
            // Three octal digits: a hexadecimal escape would go on with a digit that follows it.
            _ => drop(write!(quoted, "\\{byte:03o}")),
        }
    }
    quoted
}

/// A text as a label of a metric: hidden characters are escaped, and so is every backslash. Therefore two texts that
/// differ never become one label, which would be two rows of one series.
pub fn label(text: &str) -> Cow<'_, str> {
    escaped(
        text,
        |c| c == '\\' || is_hidden(c),
        |c, out| out.extend(c.escape_default()),
    )
}

/// The same value with each of its texts as [`line()`] shows it.
pub fn all_lines<T: Serialize + DeserializeOwned>(value: &T) -> serde_json::Result<T> {
    let mut value = serde_json::to_value(value)?;
    escape_texts(&mut value);
    serde_json::from_value(value)
}

/// Writes one line and its end.
pub fn write_line(f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>) -> fmt::Result {
    f.write_str(&line(&text.to_string()))?;
    f.write_str("\n")
}

fn is_hidden_in_lines(c: char) -> bool {
    c != '\n' && is_hidden(c)
}

fn escaped(text: &str, is_escaped: fn(char) -> bool, escape: fn(char, &mut String)) -> Cow<'_, str> {
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_escaped(c) {
            escape(c, &mut out);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn escape_texts(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(shown) = line(text) {
                *text = shown;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(escape_texts),
        Value::Object(members) => members.values_mut().for_each(escape_texts),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Octets as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_acts_on_a_terminal_or_cannot_be_seen_is_escaped_and_all_else_stays() {
        let hidden = [
            '\0',
            '\u{1b}',
            '\u{7f}',
            '\u{9b}',
            '\r',
            '\u{ad}',
            '\u{200b}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2066}',
            '\u{2069}',
            '\u{feff}',
            '\u{e0001}',
            '\u{e0041}',
        ];
        for c in hidden {
            assert!(is_hidden(c), "{c:?}");
            assert_eq!(line(&c.to_string()), c.escape_default().to_string());
        }
        let plain = "grüße/日本語 — “a” … 🔑 \\u{1b}";
        assert_eq!(line(plain), plain);
        assert_eq!(line("a\nb"), "a\\nb");
        assert_eq!(lines("a\nb\r"), "a\nb\\r");
    }

    #[test]
    fn a_label_escapes_the_backslash_of_a_text_that_looks_escaped() {
        assert_eq!(label("a\u{202e}b"), r"a\u{202e}b");
        assert_eq!(label(r"a\u{202e}b"), r"a\\u{202e}b");
        assert_eq!(label("a\nb"), r"a\nb");
        assert_eq!(label(r"a\nb"), r"a\\nb");
        assert_eq!(label("sources[0].files"), "sources[0].files");
    }

    #[test]
    fn a_path_that_is_no_utf_8_is_shown_with_its_bytes() {
        let name = Path::new(OsStr::from_bytes(b"a\xff\x1b[2J\n/b"));
        assert_eq!(path(name), r"a\xff\u{1b}[2J\n/b");
    }

    #[test]
    fn a_word_for_a_shell_is_quoted_where_it_needs_it_and_has_no_hidden_character() {
        assert_eq!(shell_word("plain/a.pem"), "plain/a.pem");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word("grüße"), "'grüße'");
        assert_eq!(shell_word(OsStr::from_bytes(b"\xff1'\\")), r"$'\3771\'\\'");
        assert_eq!(shell_word("a\u{202e}b"), r"$'a\342\200\256b'");
    }

    proptest! {
        #[test]
        fn no_shown_text_has_a_hidden_character_whatever_goes_in(text in any::<String>()) {
            prop_assert!(!line(&text).contains(is_hidden));
            prop_assert!(!lines(&text).contains(is_hidden_in_lines));
            let shown = line(&text);
            prop_assert_eq!(line(&shown), shown.as_ref());
        }

        #[test]
        fn two_texts_that_differ_are_two_labels_and_none_has_a_hidden_character(
            a in "([nrtu{}0-9abcdef]|\\\\|\\PC|\u{202e}|\u{2028}|\u{1b}|\n){0,12}",
            b in "([nrtu{}0-9abcdef]|\\\\|\\PC|\u{202e}|\u{2028}|\u{1b}|\n){0,12}",
        ) {
            prop_assert!(!label(&a).contains(is_hidden));
            prop_assert_eq!(label(&a) == label(&b), a == b);
            // A text and its own label differ wherever anything is escaped.
            prop_assert_eq!(label(&label(&a)) == label(&a), label(&a) == a.as_str());
        }

        #[test]
        fn json_keeps_its_meaning_and_has_no_hidden_character(text in any::<String>()) {
            let written = serde_json::json!({ "text": text, text.clone(): [text.clone()] });
            for written in [written.to_string(), format!("{written:#}")] {
                let shown = json(&written);
                prop_assert!(!shown.contains(is_hidden_in_lines));
                let read: Value = serde_json::from_str(&shown).unwrap();
                prop_assert_eq!(read, serde_json::from_str::<Value>(&written).unwrap());
            }
        }
    }
}
