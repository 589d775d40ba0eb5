//! A strict JSON reader (RFC 8259) that walks a document without copying it.
//!
//! Why not `serde_json`: it hides duplicate members, and half a surrogate pair or one byte of invalid UTF-8 in one
//! key would cost the whole document. Here text is decoded only where it is asked for, so private members of a JWK
//! are never copied at all, and there is nothing of them to wipe.

use std::borrow::Cow;

use super::{MAX_DEPTH, ParseError};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    Array,
    Object,
}

impl Kind {
    /// For a person, with its article.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// A string as it stands in the document, without its quotes; its escapes were checked.
#[derive(Clone, Copy)]
pub(super) struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// The text; `None` where it is no Unicode text (invalid UTF-8, half a surrogate pair).
    pub(super) fn decode(self) -> Option<Cow<'a, str>> {
        let raw = std::str::from_utf8(self.0).ok()?;
        if !raw.contains('\\') {
            return Some(Cow::Borrowed(raw));
        }
        let mut text = String::with_capacity(raw.len());
        let mut rest = raw;
        while let Some((before, escape)) = rest.split_once('\\') {
            text.push_str(before);
            let mut chars = escape.chars();
            let plain = match chars.next()? {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let (decoded, after) = unicode_escape(chars.as_str())?;
                    text.push(decoded);
                    rest = after;
                    continue;
                }
                other => other,
            };
            text.push(plain);
            rest = chars.as_str();
        }
        text.push_str(rest);
        Some(Cow::Owned(text))
    }
}

/// The character of `XXXX` or `XXXX\uXXXX`, and what follows it.
fn unicode_escape(digits: &str) -> Option<(char, &str)> {
    let unit = |text: &str| u32::from_str_radix(text.get(..4)?, 16).ok();
    let first = unit(digits)?;
    let rest = digits.get(4..)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, rest));
    }
    let low = rest.strip_prefix("\\u")?;
    let second = unit(low).filter(|unit| (0xdc00..0xe000).contains(unit))?;
    let joined = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    Some((char::from_u32(joined)?, low.get(4..)?))
}

/// Walks a document from its start to its end.
pub(super) struct Reader<'a> {
    document: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(document: &'a [u8]) -> Self {
        Self {
            document,
            at: 0,
            depth: 0,
        }
    }

    /// What the next value is; it is not consumed.
    pub(super) fn kind(&mut self) -> Result<Kind, ParseError> {
        self.space();
        match self.peek() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::Text),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(_) => Err(self.fault("a value is expected")),
            None => Err(self.fault("it ends early")),
        }
    }

    /// Reads an object; `member` must consume the value of each member.
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Text<'a>) -> Result<(), ParseError>,
    ) -> Result<(), ParseError> {
        self.list(b'{', b'}', |reader| {
            reader.space();
            let name = reader.text()?;
            reader.space();
            reader.expect(b':', "a colon is expected")?;
            member(reader, name)
        })
    }

    /// Reads an array; `element` must consume each of its values.
    pub(super) fn array(
        &mut self,
        element: impl FnMut(&mut Self) -> Result<(), ParseError>,
    ) -> Result<(), ParseError> {
        self.list(b'[', b']', element)
    }

    /// Reads a string.
    pub(super) fn text(&mut self) -> Result<Text<'a>, ParseError> {
        self.expect(b'"', "a string is expected")?;
        let start = self.at;
        loop {
            match self.peek() {
                None => return Err(self.fault("it ends within a string")),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Text(&self.document[start..self.at - 1]));
                }
                Some(b'\\') => self.escape()?,
                Some(0..=0x1f) => return Err(self.fault("a control character within a string")),
                Some(_) => self.at += 1,
            }
        }
    }

    /// Skips a value of any kind, and says which it was.
    pub(super) fn skip(&mut self) -> Result<Kind, ParseError> {
        let kind = self.kind()?;
        match kind {
            Kind::Object => self.object(|reader, _| reader.skip().map(drop))?,
            Kind::Array => self.array(|reader| reader.skip().map(drop))?,
            Kind::Text => drop(self.text()?),
            Kind::Number => self.number()?,
            Kind::Null => self.word(b"null")?,
            Kind::Bool if self.peek() == Some(b't') => self.word(b"true")?,
            Kind::Bool => self.word(b"false")?,
        }
        Ok(kind)
    }

    /// Nothing but white space may follow.
    pub(super) fn end(&mut self) -> Result<(), ParseError> {
        self.space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.fault("something follows after its end")),
        }
    }

    fn list(
        &mut self,
        open: u8,
        close: u8,
        mut entry: impl FnMut(&mut Self) -> Result<(), ParseError>,
    ) -> Result<(), ParseError> {
        self.space();
        self.expect(open, "an object or an array is expected")?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ParseError::TooDeep);
        }
        self.space();
        if self.peek() == Some(close) {
            self.at += 1;
        } else {
            loop {
                entry(self)?;
                self.space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(found) if found == close => {
                        self.at += 1;
                        break;
                    }
                    Some(_) => return Err(self.fault("a comma or the closing bracket is expected")),
                    None => return Err(self.fault("it ends early")),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), ParseError> {
        self.at += 1;
        let length = match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 1,
            Some(b'u') => {
                let digits = self.document.get(self.at + 1..self.at + 5);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.fault("four hexadecimal digits are expected after \\u"));
                }
                5
            }
            _ => return Err(self.fault("an unknown escape within a string")),
        };
        self.at += length;
        Ok(())
    }

    fn number(&mut self) -> Result<(), ParseError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        while self.peek().is_some_and(|octet| octet.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.fault("a digit is expected"));
        }
        Ok(())
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), ParseError> {
        if !self.document[self.at..].starts_with(word) {
            return Err(self.fault("a value is expected"));
        }
        self.at += word.len();
        Ok(())
    }

    fn expect(&mut self, octet: u8, otherwise: &'static str) -> Result<(), ParseError> {
        match self.peek() {
            Some(found) if found == octet => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.fault(otherwise)),
            None => Err(self.fault("it ends early")),
        }
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.document.get(self.at).copied()
    }

    fn fault(&self, detail: &'static str) -> ParseError {
        let before = &self.document[..self.at];
        let mut lines = before.split(|octet| *octet == b'\n');
        ParseError::Json {
            detail,
            column: 1 + lines.next_back().map_or(0, <[u8]>::len),
            line: 1 + lines.count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(document: &[u8]) -> Result<Kind, ParseError> {
        let mut reader = Reader::new(document);
        let kind = reader.skip()?;
        reader.end()?;
        Ok(kind)
    }

    fn decode(document: &str) -> Option<String> {
        let mut reader = Reader::new(document.as_bytes());
        reader.text().unwrap().decode().map(Cow::into_owned)
    }

    #[test]
    fn faults_are_told_by_line_and_column() {
        let fault = check(b"{\n  \"keys\": [\n    {\"kty\": \"RSA\"").unwrap_err();
        assert_eq!(
            fault.to_string(),
            "it is not JSON: it ends early at line 3, column 18"
        );
        let fault = check(b"{\"a\" 1}").unwrap_err();
        assert_eq!(
            fault.to_string(),
            "it is not JSON: a colon is expected at line 1, column 6"
        );
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |levels: usize| [vec![b'['; levels], vec![b']'; levels]].concat();
        assert_eq!(check(&nested(MAX_DEPTH)), Ok(Kind::Array));
        assert_eq!(check(&nested(MAX_DEPTH + 1)), Err(ParseError::TooDeep));
        assert_eq!(check(&vec![b'['; 1_000_000]), Err(ParseError::TooDeep));
    }

    #[test]
    fn text_is_decoded_as_rfc_8259_says() {
        assert_eq!(decode(r#""plain""#).unwrap(), "plain");
        assert_eq!(decode(r#""\u0064\n\/\"\\""#).unwrap(), "d\n/\"\\");
        assert_eq!(decode(r#""\ud83d\ude00é""#).unwrap(), "😀é");
        assert_eq!(decode(r#""\ud83d""#), None);
        assert_eq!(decode(r#""\ud83d\u0041""#), None);
        assert_eq!(decode(r#""\ude00""#), None);
    }

    proptest! {
        #[test]
        fn accepts_what_serde_json_accepts(document in r#"[\[\]{}",:\\u0-9a-f.eE+\- \ntrunl]{0,24}"#) {
            // serde_json refuses numbers beyond f64 and lone surrogates, which are harmless here.
            if serde_json::from_str::<serde_json::Value>(&document).is_ok() {
                prop_assert!(check(document.as_bytes()).is_ok());
            } else if check(document.as_bytes()).is_ok() {
                let fault = serde_json::from_str::<serde_json::Value>(&document).unwrap_err().to_string();
                prop_assert!(
                    ["out of range", "surrogate", "hex escape", "end of hex"].iter().any(|known| fault.contains(known)),
                    "{fault}"
                );
            }
        }

        #[test]
        fn decodes_what_serde_json_writes(text: String) {
            prop_assert_eq!(decode(&serde_json::to_string(&text).unwrap()).unwrap(), text);
        }

        #[test]
        fn arbitrary_octets_never_panic(document in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = check(&document);
        }
    }
}
