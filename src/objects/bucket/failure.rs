//! What a failure of the storage means, for a person: what the storage said, and the remedy that its code deserves. Nothing
//! that the storage sent is copied into a message as it is: an answer may repeat a signature or a token, and so may the
//! address that was asked.

mod remedy;

use std::error::Error as _;
use std::fmt;

use http::StatusCode;
use object_store::Error;

use super::client::Kind;
use super::words::Words;
use crate::client::{Cause, quote};

/// Why an answer about an object is none.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Failure {
    /// There was no answer.
    #[error("{0}")]
    Unreached(Cause),
    /// The storage, or something in front of it, refused.
    #[error("{0}")]
    Refused(Box<Refused>),
    /// It cannot be the storage's own.
    #[error(
        "the answer is not that of the storage: {0}. Check what is in front of it (a proxy, a login page, an ingress without endpoints), and the endpoint"
    )]
    Foreign(&'static str),
    /// An error that came as a success.
    #[error("answered with success, and with an error in it{}. It is asked again", Shown(Some(.0)))]
    ErrorWithSuccess(Box<Words>),
    /// The settings do not lead to a client.
    #[error("{0}")]
    Settings(String),
    /// A write whose new version is not known.
    #[error(
        "the answer to the write has no ETag. Use a storage that gives one, and honours If-Match: replicas would overwrite each other"
    )]
    NoEtag,
}

/// A status that is no success.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) kind: Kind,
    pub(super) is_write: bool,
    pub(super) status: StatusCode,
    /// What the storage said, if it was the storage.
    pub(super) words: Option<Words>,
    /// The region of the bucket, where the answer names one.
    pub(super) region: Option<String>,
    pub(super) is_redirect: bool,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answered {}{}", self.status, Shown(self.words.as_ref()))?;
        match self.remedy() {
            Some(remedy) => write!(f, ". {remedy}"),
            None => Ok(()),
        }
    }
}

/// What a storage said: its code, and its message as a quotation.
struct Shown<'a>(Option<&'a Words>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(words) = self.0 else { return Ok(()) };
        write!(f, " ({}", words.code)?;
        match quote(&words.message, &[]).as_str() {
            "" => write!(f, ")"),
            message => write!(f, ": {message})"),
        }
    }
}

/// Cause and remedy in one line.
pub(super) fn text(error: &Error, kind: Kind) -> String {
    if let Some(failure) = failure(error) {
        return match failure {
            Failure::Unreached(cause) => format!("{cause}. {}", remedy::of_connection(cause)),
            failure => failure.to_string(),
        };
    }
    match error {
        Error::NotImplemented { .. } | Error::NotSupported { .. } => {
            "it cannot be written conditionally. Use a storage that honours If-Match and If-None-Match".into()
        }
        error => credentials(error, kind),
    }
}

/// What our own client found, somewhere in the chain.
pub(super) fn failure(error: &Error) -> Option<&Failure> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(failure) = error.downcast_ref::<Failure>() {
            return Some(failure);
        }
        next = error.source();
    }
    None
}

/// Whatever else fails was asked of those that give out credentials, or never sent. The client's message may hold parts of
/// what was asked and answered: only a status and a code of known shape are taken from it.
fn credentials(error: &Error, kind: Kind) -> String {
    let text = error.to_string();
    let after = |mark: &str| Some(text.split_once(mark)?.1);
    let status = after("status code: ").and_then(|rest| rest.get(..3)?.parse::<u16>().ok());
    let body = after("status code: ").and_then(|rest| Some(rest.split_once(": ")?.1));
    let words = body.and_then(|body| Words::of(&http::HeaderMap::new(), body.as_bytes()));
    let Some(status) = status.and_then(|status| StatusCode::from_u16(status).ok()) else {
        return "the request could not be made or understood. Check the credentials (a token file that is missing, an identity \
                that the machine does not have) and the endpoint"
            .into();
    };
    let refused = Refused {
        kind,
        is_write: false,
        status,
        words,
        region: None,
        is_redirect: false,
    };
    let remedy = refused.known_remedy().unwrap_or_else(|| {
        "Check the identity of the machine or pod, or name others in credentialsFile".into()
    });
    format!(
        "whoever gives out the credentials answered {status}{}. {remedy}",
        Shown(refused.words.as_ref())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: Kind, status: u16, body: &str) -> String {
        let headers = http::HeaderMap::new();
        let refused = Refused {
            kind,
            is_write: false,
            status: StatusCode::from_u16(status).unwrap(),
            words: Words::of(&headers, body.as_bytes()),
            region: None,
            is_redirect: false,
        };
        refused.to_string()
    }

    fn xml(code: &str) -> String {
        format!("<Error><Code>{code}</Code><Message>so it is</Message></Error>")
    }

    #[test]
    fn what_the_storage_says_is_shown_and_its_code_has_its_own_remedy() {
        for (kind, status, code, says) in [
            (Kind::S3, 403, "RequestTimeTooSkewed", "clock"),
            (Kind::S3, 403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
            (Kind::S3, 403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
            (Kind::S3, 403, "AccessDenied", "s3:ListBucket"),
            (Kind::S3, 403, "QuotaExceeded", "quota"),
            (Kind::S3, 400, "ExpiredToken", "expired"),
            (Kind::S3, 301, "PermanentRedirect", "store.objectStorage.region"),
            (Kind::S3, 400, "AuthorizationHeaderMalformed", "region"),
            (Kind::S3, 501, "NotImplemented", "If-Match"),
            (Kind::S3, 503, "SlowDown", "less often"),
            (Kind::S3, 404, "NoSuchBucket", "Create the bucket"),
            (Kind::S3, 400, "KMS.DisabledException", "key"),
            (Kind::Azure, 403, "AuthenticationFailed", "clock"),
            (Kind::Azure, 403, "AuthorizationFailure", "network"),
            (
                Kind::Azure,
                403,
                "AuthorizationPermissionMismatch",
                "Storage Blob Data Contributor",
            ),
            (Kind::Azure, 404, "ContainerNotFound", "Create the container"),
            (Kind::Azure, 403, "AccountIsDisabled", "account"),
            (Kind::Google, 403, "AccessDenied", "storage.objects.get"),
            (Kind::Google, 400, "UserProjectMissing", "requester"),
        ] {
            let text = refused(kind, status, &xml(code));
            assert!(
                text.contains(&format!("({code}: so it is)")) && text.contains(says),
                "{text}"
            );
        }
    }

    #[test]
    fn an_unknown_code_has_no_guessed_remedy() {
        for (kind, status) in [(Kind::S3, 403), (Kind::Azure, 409), (Kind::Google, 400)] {
            let text = refused(kind, status, &xml("SomethingNew"));
            assert!(text.ends_with("(SomethingNew: so it is)"), "{text}");
        }
    }

    #[test]
    fn a_status_without_the_words_of_a_storage_is_said_to_be_of_something_else() {
        for (status, body) in [
            (404, "404 page not found"),
            (403, "<html>no</html>"),
            (502, ""),
            (404, "{}"),
        ] {
            let text = refused(Kind::S3, status, body);
            assert!(text.contains("in front of"), "{text}");
        }
        assert!(refused(Kind::S3, 403, "").contains("s3:ListBucket"));
        for (status, says) in [(301, "region"), (304, "in front of"), (300, "in front of")] {
            let text = refused(Kind::S3, status, "");
            assert!(text.contains(says), "{text}");
            assert_eq!(text.contains("region"), says == "region", "{text}");
        }
    }

    #[test]
    fn nothing_that_was_sent_is_repeated() {
        let source = "GET https://x/?sig=secret - Server returned non-2xx status code: 400 Bad Request: \
                      <Error><Code>InvalidToken</Code><Token>secret</Token></Error>";
        let error = Error::Generic {
            store: "S3",
            source: source.into(),
        };
        let shown = text(&error, Kind::S3);
        assert!(
            shown.contains("answered 400 Bad Request (InvalidToken)"),
            "{shown}"
        );
        assert!(!shown.contains("secret"), "{shown}");
        let error = Error::Generic {
            store: "S3",
            source: "<Code>secret secret</Code>".into(),
        };
        assert!(!text(&error, Kind::S3).contains("secret"));
    }
}
