//! What the version in an answer says: a write gives a new one, and a 304 is no redirect.

use super::*;

#[tokio::test]
async fn a_write_that_is_answered_with_the_version_before_it_or_with_none_is_no_write() {
    let home = tempfile::tempdir().unwrap();
    for kind in ALL {
        let server = Server::start().await;
        let said = |etag: &str, more: &str| answer("200 OK", &format!("{etag}{more}"), "");
        let written = Value::from(String::from_utf8(document(&["b"])).unwrap());
        let stored_as = |version: &str, uid: &str| {
            map(|map| {
                map["data"]["ledger.json"] = written.clone();
                map["metadata"]["resourceVersion"] = version.into();
                map["metadata"]["uid"] = uid.into();
            })
        };
        let (bad, good_one) = match kind {
            Kind::S3 => (
                vec![
                    said("etag: \"1\"\r\n", ""),
                    said("etag: W/\"1\"\r\n", ""),
                    said("etag: \"1\"\r\n", "x-amz-version-id: null\r\n"),
                    said("", ""),
                ],
                said("etag: \"2\"\r\n", "x-amz-version-id: null\r\n"),
            ),
            Kind::Google => (
                vec![
                    said("etag: \"1\"\r\n", "x-goog-generation: 1\r\n"),
                    said("etag: \"2\"\r\n", "x-goog-generation: 1\r\n"),
                    said("etag: \"2\"\r\n", ""),
                ],
                said("etag: \"2\"\r\n", "x-goog-generation: 2\r\n"),
            ),
            Kind::Azure => (
                vec![said("etag: \"1\"\r\n", ""), said("", "")],
                said("etag: \"2\"\r\n", ""),
            ),
            Kind::Kubernetes => (
                vec![stored_as("1", "u"), stored_as("", "u"), stored_as("2", "another")],
                stored_as("2", "u"),
            ),
        };
        let save = async |reply: Vec<u8>| {
            let mut store = shared(kind, &server, home.path());
            server.answers(good(kind));
            let Ok(Read::Stored(stored)) = store.load(None).await else {
                panic!("{kind:?}")
            };
            server.answers(reply);
            store.save(document(&["b"]).into(), &stored.version, None).await
        };
        for (number, reply) in bad.into_iter().enumerate() {
            let saved = save(reply).await;
            assert!(
                matches!(saved, Err(SaveError::Failed(_))),
                "{kind:?}, {number}: {saved:?}"
            );
        }
        let saved = save(good_one).await;
        assert!(saved.is_ok(), "{kind:?}: {saved:?}");
    }
}

#[tokio::test]
async fn a_304_is_told_as_what_it_is_and_not_as_a_redirect() {
    let home = tempfile::tempdir().unwrap();
    for kind in ALL {
        let server = Server::start().await;
        for code in ["304 Not Modified", "300 Multiple Choices"] {
            server.answers(format!("HTTP/1.1 {code}\r\ncontent-length: 0\r\n\r\n").into_bytes());
            let read = shared(kind, &server, home.path()).load(None).await;
            let error = read.unwrap_err().to_string();
            assert!(
                error.contains(&code[..3]) && error.contains("in front of"),
                "{kind:?}: {error}"
            );
            assert!(
                !error.to_lowercase().contains("redirect") && !error.contains("region"),
                "{kind:?}: {error}"
            );
        }
    }
}
