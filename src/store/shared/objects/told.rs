//! What a failure of the storage means, for a person. Nothing that the storage sent is copied into a message unless its
//! shape was checked: an answer may repeat a signature or a token, and so may the address that was asked.

use std::error::Error as _;

use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};

/// Cause and remedy in one line.
pub(super) fn told(error: &Error) -> String {
    let code = code(error).map(|code| format!(" ({code})")).unwrap_or_default();
    match error {
        Error::PermissionDenied { .. } => format!(
            "answered 403 Forbidden{code}. Let the credentials read, write and list there: S3 answers so for an object \
             that does not exist where listing is not allowed"
        ),
        Error::Unauthenticated { .. } => {
            format!("answered 401 Unauthorized{code}. Check the credentials, and that they have not expired")
        }
        Error::NotFound { .. } => {
            format!("answered 404 Not Found{code}. Create the bucket, or correct its name")
        }
        Error::NotImplemented { .. } | Error::NotSupported { .. } => {
            "it cannot be written conditionally. Use a storage that honours If-Match and If-None-Match".into()
        }
        error => generic(error, &code),
    }
}

/// Whether what was not found is the bucket, and not the object.
pub(super) fn is_bucket_missing(error: &Error) -> bool {
    code(error).is_some_and(|code| {
        ["NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"].contains(&code.as_str())
    })
}

fn generic(error: &Error, code: &str) -> String {
    if let Some(status) = status(error) {
        let advice = match status {
            400 => "Check the region, the endpoint and the credentials",
            401 | 403 => {
                "That is who gives out the credentials: check the identity of the machine or pod, or name others"
            }
            429 => "It will be asked less often",
            500.. => "Check the health of the storage",
            _ => "Check the endpoint and the region",
        };
        return format!("answered {status}{code}. {advice}");
    }
    let (cause, advice) = match http(error).map(HttpError::kind) {
        Some(HttpErrorKind::Connect) => (
            "no connection",
            "Check the endpoint, the network between (DNS, routes, firewalls, NetworkPolicy), and for a private CA caFile",
        ),
        Some(HttpErrorKind::Timeout) => (
            "no answer in time",
            "Check the network between, and the storage's health",
        ),
        Some(HttpErrorKind::Request | HttpErrorKind::Interrupted) => (
            "the connection broke",
            "Check the endpoint, and any proxy between",
        ),
        Some(HttpErrorKind::Decode) => (
            "the answer cannot be read",
            "Check the endpoint: another kind of server?",
        ),
        _ => (
            "the request could not be made or understood",
            "Check the credentials (a token file that is missing, an identity that the machine does not have) and the endpoint",
        ),
    };
    format!("{cause}{code}. {advice}")
}

/// What the connection said, somewhere in the chain.
fn http(error: &Error) -> Option<&HttpError> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<HttpError>() {
            return Some(error);
        }
        next = error.source();
    }
    None
}

/// The status of an answer that was no success, out of the library's own message.
fn status(error: &Error) -> Option<u16> {
    let text = error.to_string();
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// `NoSuchBucket`: the code in the XML of an error, which all three kinds of storage send alike.
fn code(error: &Error) -> Option<String> {
    let text = error.to_string();
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_code = (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_code.then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn not_found(text: &str) -> Error {
        Error::NotFound {
            path: "p".into(),
            source: text.into(),
        }
    }

    #[test]
    fn a_missing_bucket_is_no_missing_object() {
        for (code, is_bucket) in [
            ("NoSuchBucket", true),
            ("ContainerNotFound", true),
            ("NoSuchKey", false),
            ("BlobNotFound", false),
        ] {
            let error = not_found(&format!("status code: 404: <Error><Code>{code}</Code></Error>"));
            assert_eq!(is_bucket_missing(&error), is_bucket, "{code}");
        }
        assert!(!is_bucket_missing(&not_found("")));
    }

    #[test]
    fn nothing_that_was_sent_is_repeated() {
        let source = "GET https://x/?sig=secret - Server returned non-2xx status code: 400 Bad Request: \
                      <Code>InvalidToken</Code><Token>secret</Token>";
        let error = Error::Generic {
            store: "S3",
            source: source.into(),
        };
        let told = told(&error);
        assert!(told.starts_with("answered 400 (InvalidToken)."), "{told}");
        assert!(!told.contains("secret"), "{told}");
        let error = Error::Generic {
            store: "S3",
            source: "<Code>secret secret</Code>".into(),
        };
        assert!(!super::told(&error).contains("secret"));
    }
}
