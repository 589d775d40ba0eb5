//! Answers of something in front of a store, and of the store itself, for every kind of store: only the store's own words
//! about that very object are believed, whatever the status is.

mod server;
mod versions;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use serde_json::Value::{self, Null};

use super::*;
use crate::client::ApiServerSettings;
use crate::store::direct::{AmendError, Change, in_shared};
use crate::store::fake::{ISSUER, document, ledger};
use crate::store::{Bucket, KubernetesSettings, ObjectStorageSettings, Replica, name};
use server::{Server, answer};

const ALL: [Kind; 4] = [Kind::S3, Kind::Google, Kind::Azure, Kind::Kubernetes];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    S3,
    Google,
    Azure,
    Kubernetes,
}

/// A store at this server.
fn shared(kind: Kind, server: &Server, home: &std::path::Path) -> Shared {
    let credentials = home.join("credentials");
    let (url, variables) = match kind {
        Kind::S3 => ("s3://b/p", "AWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY=b\n"),
        Kind::Google => ("gs://b/p", "GOOGLE_BEARER_TOKEN=t\n"),
        Kind::Azure => ("az://b/p", "AZURE_STORAGE_ACCOUNT_KEY=a2V5\n"),
        Kind::Kubernetes => {
            let settings = KubernetesSettings {
                access: ApiServerSettings {
                    server: Some(server.url()),
                    ..ApiServerSettings::default()
                },
                namespace: Some("home".into()),
                name_prefix: "oidc-issuer".into(),
            };
            let map = ConfigMap::new(&settings, ISSUER, Connections::default());
            return Shared::Kubernetes(Box::new(map));
        }
    };
    std::fs::write(&credentials, variables).unwrap();
    let settings = ObjectStorageSettings {
        bucket: Bucket::parse(url).unwrap(),
        endpoint: Some(server.url()),
        region: None,
        account: Some("me".into()),
        ca_file: None,
        credentials_file: Some(credentials),
    };
    Shared::Objects(Box::new(Object::new(&settings, ISSUER, Connections::default())))
}

fn object() -> String {
    format!("p/{}.json", name::of(ISSUER))
}

fn config_map() -> String {
    format!("oidc-issuer-{}", name::of(ISSUER))
}

/// The ledger, as that kind of store gives it.
fn good(kind: Kind) -> Vec<u8> {
    let ledger = document(&["a"]);
    if kind == Kind::Kubernetes {
        return map(|_| {});
    }
    answer("200 OK", OBJECT, ledger)
}

/// The ledger, as something in front of the store makes it: well formed, and not what was written.
fn changed() -> Vec<u8> {
    let good = String::from_utf8(document(&["a"])).unwrap();
    let changed = good.replace("\"listed\":true", "\"listed\":false");
    assert_ne!(good, changed);
    changed.into_bytes()
}

fn md5(bytes: &[u8]) -> String {
    STANDARD.encode(Md5::digest(bytes))
}

/// The `ConfigMap` of the ledger, with an edit.
fn map(edit: impl Fn(&mut Value)) -> Vec<u8> {
    let ledger = document(&["a"]);
    let mut map = serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": config_map(), "namespace": "home", "resourceVersion": "1", "uid": "u",
            "labels": { "app.kubernetes.io/managed-by": "oidc-issuer" } },
        "data": { "ledger.json": String::from_utf8(ledger).unwrap() },
    });
    edit(&mut map);
    answer("200 OK", "content-type: application/json\r\n", map.to_string())
}

const OBJECT: &str =
    "etag: \"1\"\r\nx-goog-generation: 1\r\nlast-modified: Fri, 27 Nov 2026 08:00:00 GMT\r\n";

/// A `Status` of an API server.
fn status(code: u16, reason: &str, kind: &str, name: &str) -> String {
    serde_json::json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "m",
        "reason": reason, "details": { "name": name, "kind": kind }, "code": code })
    .to_string()
}

fn xml(code: &str, members: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>{members}</Error>")
}

/// Answers to a read that say nothing about the ledger.
#[expect(clippy::too_many_lines, reason = "a table")]
fn foreign(kind: Kind) -> Vec<(&'static str, Vec<u8>)> {
    let ledger = document(&["a"]);
    let mut all = vec![
        (
            "404 in text",
            answer("404 Not Found", "", "default backend - 404"),
        ),
        (
            "404 of Go",
            answer(
                "404 Not Found",
                "content-type: text/plain\r\n",
                "404 page not found\n",
            ),
        ),
        (
            "404 of a page",
            answer("404 Not Found", "content-type: text/html\r\n", "<html>404</html>"),
        ),
        (
            "404 in JSON",
            answer("404 Not Found", "content-type: application/json\r\n", "{}"),
        ),
        (
            "404 of another JSON",
            answer("404 Not Found", "", "{\"message\":\"NotFound\",\"code\":404}"),
        ),
        ("404 without anything", answer("404 Not Found", "", "")),
        (
            "304 that nobody asked for",
            b"HTTP/1.1 304 Not Modified\r\netag: \"9\"\r\n\r\n".to_vec(),
        ),
        (
            "301",
            answer("301 Moved Permanently", "location: http://127.0.0.1:1/\r\n", ""),
        ),
        ("302 without a place", answer("302 Found", "", "")),
        ("401", answer("401 Unauthorized", "", "")),
        ("403", answer("403 Forbidden", "", "")),
        (
            "412 to a read",
            answer("412 Precondition Failed", "", xml("PreconditionFailed", "")),
        ),
        ("500", answer("500 Internal Server Error", "", "")),
        ("503", answer("503 Service Unavailable", "", "")),
        ("204", answer("204 No Content", OBJECT, "")),
        ("206", answer("206 Partial Content", OBJECT, ledger.clone())),
        (
            "a page",
            answer(
                "200 OK",
                &format!("content-type: text/html\r\n{OBJECT}"),
                "<html>login</html>",
            ),
        ),
        ("nothing", answer("200 OK", OBJECT, "")),
        (
            "an error with 200",
            answer("200 OK", OBJECT, xml("InternalError", "")),
        ),
        (
            "a JSON error with 200",
            answer("200 OK", OBJECT, "{\"error\":\"no\"}"),
        ),
        ("a cut ledger", answer("200 OK", OBJECT, &ledger[..40])),
        (
            "a ledger without an end",
            answer("200 OK", OBJECT, &ledger[..ledger.len() - 9]),
        ),
        (
            "a changed ledger that is well formed",
            answer("200 OK", OBJECT, changed()),
        ),
        (
            "a changed ledger with the MD5 that it had",
            answer(
                "200 OK",
                &format!(
                    "content-md5: {0}\r\nx-goog-hash: md5={0}\r\n{OBJECT}",
                    md5(&ledger)
                ),
                changed(),
            ),
        ),
        (
            "a changed ledger with two MD5s, one of which was made anew",
            answer(
                "200 OK",
                &format!(
                    "content-md5: {}\r\nx-goog-hash: md5={}\r\n{OBJECT}",
                    md5(&ledger),
                    md5(&changed())
                ),
                changed(),
            ),
        ),
        (
            "a body shorter than it says",
            b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\netag: \"1\"\r\n\r\n{".to_vec(),
        ),
    ];
    let own: Vec<(&'static str, Vec<u8>)> = match kind {
        Kind::S3 | Kind::Google => vec![
            ("no bucket", answer("404 Not Found", "", xml("NoSuchBucket", ""))),
            (
                "another object",
                answer("404 Not Found", "", xml("NoSuchKey", "<Key>p/other.json</Key>")),
            ),
            (
                "the words of Azure",
                answer("404 Not Found", "", xml("BlobNotFound", "")),
            ),
            ("a right", answer("403 Forbidden", "", xml("AccessDenied", ""))),
        ]
        .into_iter()
        .chain((kind == Kind::Google).then(|| {
            (
                "no generation",
                answer("200 OK", "etag: \"1\"\r\n", document(&["a"])),
            )
        }))
        .collect(),
        Kind::Azure => vec![
            (
                "no container",
                answer(
                    "404 Not Found",
                    "x-ms-error-code: ContainerNotFound\r\n",
                    xml("ContainerNotFound", ""),
                ),
            ),
            (
                "two codes",
                answer(
                    "404 Not Found",
                    "x-ms-error-code: BlobNotFound\r\n",
                    xml("ContainerNotFound", ""),
                ),
            ),
            (
                "the words of S3",
                answer("404 Not Found", "", xml("NoSuchKey", "")),
            ),
            (
                "a right",
                answer("403 Forbidden", "", xml("AuthorizationFailure", "")),
            ),
        ],
        Kind::Kubernetes => vec![
            (
                "no namespace",
                answer("404 Not Found", "", status(404, "NotFound", "namespaces", "home")),
            ),
            (
                "another object",
                answer(
                    "404 Not Found",
                    "",
                    status(404, "NotFound", "configmaps", "other"),
                ),
            ),
            (
                "no such path",
                answer("404 Not Found", "", status(404, "NotFound", "", "")),
            ),
            (
                "another code",
                answer(
                    "404 Not Found",
                    "",
                    status(403, "NotFound", "configmaps", &config_map()),
                ),
            ),
            (
                "a right",
                answer(
                    "403 Forbidden",
                    "",
                    status(403, "Forbidden", "configmaps", &config_map()),
                ),
            ),
            ("another kind", map(|map| map["kind"] = "Secret".into())),
            (
                "another version of the API",
                map(|map| map["apiVersion"] = "v2".into()),
            ),
            (
                "another name",
                map(|map| map["metadata"]["name"] = "other".into()),
            ),
            (
                "another namespace",
                map(|map| map["metadata"]["namespace"] = "other".into()),
            ),
            (
                "no namespace in it",
                map(|map| map["metadata"]["namespace"] = Null),
            ),
            ("no uid", map(|map| map["metadata"]["uid"] = Null)),
            (
                "no resourceVersion",
                map(|map| map["metadata"]["resourceVersion"] = "".into()),
            ),
            (
                "a changed ledger in an object without our mark",
                map(|map| {
                    map["metadata"]["resourceVersion"] = "2".into();
                    map["metadata"]["labels"] = Null;
                    map["data"]["ledger.json"] = String::from_utf8(changed()).unwrap().into();
                }),
            ),
        ],
    };
    all.extend(own);
    all
}

#[tokio::test]
async fn an_answer_to_a_read_that_is_not_the_stores_own_says_nothing() {
    let home = tempfile::tempdir().unwrap();
    for kind in ALL {
        let server = Server::start().await;
        for (fault, reply) in foreign(kind) {
            let what = format!("{kind:?}, {fault}");
            // A replica that starts without a copy waits, and writes nothing.
            server.answers(reply.clone());
            let replica = Replica::new(ISSUER, None, Some(shared(kind, &server, home.path())));
            let opening = tokio::spawn({
                let replica = replica.clone();
                async move { replica.open().await }
            });
            replica.waits().await;
            opening.abort();
            assert!(replica.status_now().waits.is_some(), "{what}");
            assert_eq!(replica.status_now().lost, 0, "{what}");
            assert!(
                server.asked().iter().all(|head| head.starts_with("GET ")),
                "{what}"
            );

            // A command changes nothing.
            let change = |found| Ok::<Change<_>, ()>((Some(ledger(&["b"])), found));
            let changed = in_shared(shared(kind, &server, home.path()), ISSUER, &mut { change }).await;
            assert!(
                matches!(changed, Err(AmendError::Store(_))),
                "{what}: {changed:?}"
            );

            // One that has read it goes on with what it knows.
            let mut store = shared(kind, &server, home.path());
            server.answers(good(kind));
            let Ok(Read::Stored(stored)) = store.load(None).await else {
                panic!("{what}")
            };
            server.answers(reply);
            if let Ok(read) = store.load(Some(&stored.version)).await {
                let is_harmless = match &read {
                    Read::Unchanged => true,
                    Read::Stored(Stored { content, .. }) => content.as_ref().is_some_and(|content| {
                        let judged = crate::store::opening::judge_stored(content, ISSUER);
                        matches!(judged, crate::store::opening::Judged::Foreign(_))
                    }),
                };
                assert!(is_harmless && !fault.starts_with("304"), "{what}: {read:?}");
            }
            // The generation before, which a ConfigMap has within.
            if kind != Kind::Kubernetes {
                let previous = store.previous().await;
                assert!(!matches!(previous, Ok(None)), "{what}: {previous:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_to_a_write_that_is_not_the_stores_own_is_no_write_and_no_lost_race() {
    let home = tempfile::tempdir().unwrap();
    for kind in ALL {
        let server = Server::start().await;
        let mut faults = foreign(kind);
        faults.extend([
            ("409 of a proxy", answer("409 Conflict", "", "conflict")),
            ("412 of a proxy", answer("412 Precondition Failed", "", "")),
            ("a success of a proxy", answer("200 OK", "", "{}")),
            ("created by a proxy", answer("201 Created", "", "<html></html>")),
            ("a success without a version", answer("200 OK", "", "")),
            ("a success with a page", answer("200 OK", OBJECT, "<html></html>")),
            (
                "a success with an error",
                answer("200 OK", OBJECT, xml("SlowDown", "")),
            ),
            (
                "501",
                answer("501 Not Implemented", "", xml("NotImplemented", "")),
            ),
        ]);
        for (fault, reply) in faults {
            // It is an S3's own word that someone deleted it, or was faster.
            if fault == "412 to a read" || (fault == "nothing" && kind != Kind::Kubernetes) {
                continue;
            }
            let what = format!("{kind:?}, {fault}");
            for is_known in [false, true] {
                let mut store = shared(kind, &server, home.path());
                let mut version = Version::Absent;
                if is_known {
                    server.answers(good(kind));
                    let Ok(Read::Stored(stored)) = store.load(None).await else {
                        panic!("{what}")
                    };
                    version = stored.version;
                }
                server.answers(reply.clone());
                let saved = store.save(document(&["b"]).into(), &version, None).await;
                assert!(matches!(saved, Err(SaveError::Failed(_))), "{what}: {saved:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_store_that_says_in_its_own_words_that_there_is_none_is_believed() {
    let home = tempfile::tempdir().unwrap();
    let named = object();
    for (kind, reply) in [
        (Kind::S3, answer("404 Not Found", "", xml("NoSuchKey", ""))),
        (
            Kind::S3,
            answer(
                "404 Not Found",
                "",
                xml(
                    "NoSuchKey",
                    &format!("<Key>{named}</Key><Resource>/b/{named}</Resource>"),
                ),
            ),
        ),
        (
            Kind::Google,
            answer(
                "404 Not Found",
                "",
                xml(
                    "NoSuchKey",
                    &format!("<Details>No such object: b/{named}</Details>"),
                ),
            ),
        ),
        (
            Kind::Google,
            answer("404 Not Found", "", format!("No such object: b/{named}")),
        ),
        (
            Kind::Google,
            answer(
                "404 Not Found",
                "content-type: application/json\r\n",
                format!(
                    r#"{{"error":{{"code":404,"message":"No such object: b/{named}","errors":[{{"reason":"notFound"}}]}}}}"#
                ),
            ),
        ),
        (
            Kind::Azure,
            answer(
                "404 Not Found",
                "x-ms-error-code: BlobNotFound\r\n",
                xml("BlobNotFound", ""),
            ),
        ),
        (
            Kind::Kubernetes,
            answer(
                "404 Not Found",
                "",
                status(404, "NotFound", "configmaps", &config_map()),
            ),
        ),
    ] {
        let server = Server::start().await;
        server.answers(reply);
        let mut store = shared(kind, &server, home.path());
        let read = store.load(None).await;
        let Ok(Read::Stored(Stored {
            content: None,
            version: Version::Absent,
        })) = read
        else {
            panic!("{kind:?}: {read:?}")
        };
    }
}

#[tokio::test]
async fn a_lost_race_is_one_that_the_store_tells() {
    let home = tempfile::tempdir().unwrap();
    for (kind, reply) in [
        (
            Kind::S3,
            answer("412 Precondition Failed", "", xml("PreconditionFailed", "")),
        ),
        (
            Kind::S3,
            answer("409 Conflict", "", xml("ConditionalRequestConflict", "")),
        ),
        (
            Kind::Google,
            answer("412 Precondition Failed", "", xml("PreconditionFailed", "")),
        ),
        (
            Kind::Azure,
            answer(
                "412 Precondition Failed",
                "x-ms-error-code: ConditionNotMet\r\n",
                xml("ConditionNotMet", ""),
            ),
        ),
        (
            Kind::Azure,
            answer("409 Conflict", "x-ms-error-code: BlobAlreadyExists\r\n", ""),
        ),
        (
            Kind::Kubernetes,
            answer(
                "409 Conflict",
                "",
                status(409, "AlreadyExists", "configmaps", &config_map()),
            ),
        ),
    ] {
        let server = Server::start().await;
        server.answers(reply);
        let mut store = shared(kind, &server, home.path());
        let saved = store.save(document(&["a"]).into(), &Version::Absent, None).await;
        assert!(matches!(saved, Err(SaveError::Lost)), "{kind:?}: {saved:?}");
    }
}
