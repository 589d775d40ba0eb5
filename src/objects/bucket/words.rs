//! What a storage says in an error: the XML of S3, Google and Azure, the JSON of Google and of those that give out
//! tokens, and one sentence of Google in plain text. Anything else is not the storage's own.

use http::HeaderMap;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;

/// An error document has a few hundred bytes.
const MAX: usize = 64 << 10;

/// Of which form it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Xml,
    Json,
    Text,
    /// Azure says it in a header, where there is no body.
    Header,
}

/// A code, and what goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) form: Form,
    /// `NoSuchKey`, `BlobNotFound`, `notFound`, …
    pub(super) code: String,
    /// As the storage wrote it: to be quoted, never copied.
    pub(super) message: String,
    /// The other members of an XML error: `Key`, `Region`, `ServerTime`, …
    members: Vec<(String, String)>,
}

impl Words {
    /// `None` where it is not said in one of these forms, or said twice and not alike.
    pub(super) fn of(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let header = headers
            .get("x-ms-error-code")
            .and_then(|code| code.to_str().ok())
            .filter(|code| is_code(code));
        let text = std::str::from_utf8(body.get(..MAX).unwrap_or(body)).ok()?;
        let text = text.trim_start_matches('\u{feff}').trim();
        let words = if text.starts_with('<') {
            xml(text)
        } else if text.starts_with('{') {
            json(text)
        } else {
            plain(text)
        };
        match (header, words) {
            (Some(code), None) if text.is_empty() => Some(Self {
                form: Form::Header,
                code: code.to_owned(),
                message: String::new(),
                members: Vec::new(),
            }),
            (Some(code), Some(words)) if words.code == code => Some(words),
            (None, words) => words,
            (Some(_), _) => None,
        }
    }

    /// A member of the XML.
    pub(super) fn member(&self, name: &str) -> Option<&str> {
        self.members
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether it names another object than this one, wherever it names one.
    pub(super) fn names_another(&self, bucket: &str, key: &str) -> bool {
        let whole = format!("{bucket}/{key}");
        let is_key = self.member("Key").is_none_or(|named| named == key);
        let is_resource = self.member("Resource").is_none_or(|named| {
            let is = |named: &str| {
                let named = named.trim_start_matches('/');
                named == key || named == whole || named.ends_with(&format!("/{whole}"))
            };
            is(named) || is(&unescaped(named))
        });
        let is_named = [Some(self.message.as_str()), self.member("Details")]
            .into_iter()
            .flatten()
            .filter_map(|text| text.trim().strip_prefix("No such object: "))
            .all(|named| named.trim() == whole);
        !(is_key && is_resource && is_named)
    }
}

fn is_code(code: &str) -> bool {
    (1..=64).contains(&code.len())
        && code
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// A path with its escapes resolved.
fn unescaped(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = rest
            .get(1..3)
            .filter(|_| *first == b'%')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &rest[3..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `<Error><Code>…</Code>…</Error>`, also within an `<ErrorResponse>`.
fn xml(text: &str) -> Option<Words> {
    let mut reader = Reader::from_str(text);
    let mut path: Vec<String> = Vec::new();
    let mut members: Vec<(String, String)> = Vec::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) => {
                path.push(String::from_utf8(element.local_name().as_ref().to_vec()).ok()?);
                if path.len() > 8 || members.len() > 64 {
                    return None;
                }
                if is_within_error(&path) {
                    members.push((path.last()?.clone(), String::new()));
                }
            }
            Event::Text(text) if is_within_error(&path) => {
                members.last_mut()?.1.push_str(&text.decode().ok()?);
            }
            Event::GeneralRef(entity) if is_within_error(&path) => {
                let named = match entity.resolve_char_ref().ok()? {
                    Some(character) => character,
                    None => match &*entity.decode().ok()? {
                        "amp" => '&',
                        "lt" => '<',
                        "gt" => '>',
                        "quot" => '"',
                        "apos" => '\'',
                        _ => return None,
                    },
                };
                members.last_mut()?.1.push(named);
            }
            Event::CData(text) if is_within_error(&path) => {
                members.last_mut()?.1.push_str(std::str::from_utf8(&text).ok()?);
            }
            Event::End(_) => {
                path.pop()?;
                if path.is_empty() {
                    break;
                }
            }
            Event::DocType(_) | Event::Eof => return None,
            _ => {}
        }
    }
    let mut take = |name: &str| {
        let at = members.iter().position(|(own, _)| own == name)?;
        Some(members.remove(at).1)
    };
    let code = take("Code")?.trim().to_owned();
    let message = take("Message").unwrap_or_default();
    is_code(&code).then_some(Words {
        form: Form::Xml,
        code,
        message,
        members,
    })
}

/// Whether the innermost element is a member of the error.
fn is_within_error(path: &[String]) -> bool {
    match path {
        [root, _] => root == "Error",
        [root, error, _] => root == "ErrorResponse" && error == "Error",
        _ => false,
    }
}

/// `{"error":{"code":404,"message":"…","errors":[{"reason":"notFound"}]}}` of Google; `{"error":{"code":"…"}}` of Azure;
/// `{"error":"invalid_grant","error_description":"…"}` of those that give out tokens (RFC 6749 section 5.2).
fn json(text: &str) -> Option<Words> {
    let document: Value = serde_json::from_str(text).ok()?;
    let error = document.get("error")?;
    let code = error
        .as_str()
        .or_else(|| error["errors"][0]["reason"].as_str())
        .or_else(|| error["code"].as_str())
        .or_else(|| error["status"].as_str())?;
    let message = error["message"]
        .as_str()
        .or_else(|| document["error_description"].as_str())
        .unwrap_or_default();
    is_code(code).then(|| Words {
        form: Form::Json,
        code: code.to_owned(),
        message: message.to_owned(),
        members: Vec::new(),
    })
}

/// `No such object: BUCKET/KEY`, as Google answers a download.
fn plain(text: &str) -> Option<Words> {
    let is_it = text.starts_with("No such object: ") && text.lines().count() == 1;
    is_it.then(|| Words {
        form: Form::Text,
        code: "NoSuchKey".into(),
        message: text.to_owned(),
        members: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(body: &str) -> Option<Words> {
        Words::of(&HeaderMap::new(), body.as_bytes())
    }

    fn code(body: &str) -> Option<String> {
        words(body).map(|words| words.code)
    }

    #[test]
    fn a_code_is_taken_from_the_forms_of_storages_alone() {
        for (body, expected) in [
            ("<Error><Code>NoSuchKey</Code></Error>", "NoSuchKey"),
            (
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error xmlns=\"x\"><Message>a &amp; b</Message><Code>KMS.Disabled</Code></Error>",
                "KMS.Disabled",
            ),
            (
                "\u{feff}<?xml version=\"1.0\"?><Error><Code>BlobNotFound</Code></Error>",
                "BlobNotFound",
            ),
            (
                "<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredTokenException</Code></Error></ErrorResponse>",
                "ExpiredTokenException",
            ),
            (
                r#"{"error":{"code":404,"message":"m","errors":[{"reason":"notFound"}]}}"#,
                "notFound",
            ),
            (
                r#"{"error":"invalid_grant","error_description":"d"}"#,
                "invalid_grant",
            ),
            ("No such object: b/a\n", "NoSuchKey"),
        ] {
            assert_eq!(code(body).as_deref(), Some(expected), "{body}");
        }
        for body in [
            "",
            "{}",
            "404 page not found",
            "Not Found",
            "<html><body><Error><Code>NoSuchKey</Code></Error></body></html>",
            "<!DOCTYPE html><Error><Code>NoSuchKey</Code></Error>",
            "<Error><Code>NoSuchKey</Code>",
            "<Error><Message>&lt;Code&gt;NoSuchKey&lt;/Code&gt;</Message></Error>",
            "<Error><Details><Code>NoSuchKey</Code></Details></Error>",
            "<Error><Code>No Such Key</Code></Error>",
            "<Error><Code>&xxe;</Code></Error>",
            "a No such object: b/a",
            r#"{"error":404}"#,
            r#"{"message":"NoSuchKey"}"#,
        ] {
            assert_eq!(code(body), None, "{body}");
        }
    }

    #[test]
    fn azure_must_not_say_two_things() {
        let mut headers = HeaderMap::new();
        headers.insert("x-ms-error-code", "BlobNotFound".parse().unwrap());
        let of = |body: &str| Words::of(&headers, body.as_bytes()).map(|words| words.code);
        assert_eq!(of("").as_deref(), Some("BlobNotFound"));
        assert_eq!(
            of("<Error><Code>BlobNotFound</Code></Error>").as_deref(),
            Some("BlobNotFound")
        );
        assert_eq!(of("<Error><Code>ContainerNotFound</Code></Error>"), None);
        assert_eq!(of("<html></html>"), None);
    }

    #[test]
    fn what_names_another_object_is_not_about_ours() {
        let names_another = |members: &str| {
            let body = format!("<Error><Code>NoSuchKey</Code>{members}</Error>");
            words(&body).unwrap().names_another("b", "p/a.json")
        };
        for members in [
            "",
            "<Key>p/a.json</Key><BucketName>b</BucketName>",
            "<Resource>/b/p/a.json</Resource>",
            "<Resource>/p/a.json</Resource>",
            "<Resource>/b/p%2Fa.json</Resource>",
            "<Details>No such object: b/p/a.json</Details>",
        ] {
            assert!(!names_another(members), "{members}");
        }
        for members in [
            "<Key>p/b.json</Key>",
            "<Key></Key>",
            "<Resource>/b/p/b.json</Resource>",
            "<Resource>/c/p/a.json</Resource>",
            "<Details>No such object: b/p/b.json</Details>",
        ] {
            assert!(names_another(members), "{members}");
        }
        assert!(
            words("No such object: b/x")
                .unwrap()
                .names_another("b", "p/a.json")
        );
    }
}
