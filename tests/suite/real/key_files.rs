//! What the service makes of a key file, beside what a real API server makes of it.

mod corpus;
mod making;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use self::corpus::{Corpus, Item, Verdict};
use super::cluster::Cluster;
use super::programs::Programs;
use super::service::run;

const PROGRAMS: &[&str] = &["etcd", "kube-apiserver", "openssl"];

#[tokio::test]
async fn every_jwk_is_byte_equal_to_the_api_servers_and_what_is_held_back_has_a_reason() {
    let Some(programs) = Programs::find(PROGRAMS) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let items = Corpus::create(&programs);
    let files = write(folder.path(), &items);
    let mut cluster = Cluster::start(&programs, "https://keys.example").await;
    cluster
        .restart_with_keys(&for_the_api_server(folder.path(), &items, &cluster.signing_key))
        .await;
    let theirs = by_kid(&jwks_of(&cluster.jwks().await));

    for (item, file) in items.iter().zip(&files) {
        let ours = Inspected::of(file);
        let about = format!("{}:\n{}\n{ours:?}", item.what, item.text);
        for (kid, jwk) in &ours.published {
            assert!(
                item.kids.contains(kid),
                "published {kid}, which is not in {about}"
            );
            assert!(
                theirs.get(kid).is_none_or(|other| other == jwk),
                "{:?} of {about}",
                theirs.get(kid)
            );
        }
        for kid in &item.kids {
            let published = (ours.published.contains_key(kid), theirs.contains_key(kid));
            let verdict = match published {
                (true, true) => Verdict::Both,
                (true, false) => Verdict::ServiceOnly,
                (false, true) => Verdict::ApiServerOnly,
                (false, false) => Verdict::Neither,
            };
            assert_eq!(verdict, item.verdict, "{kid} of {about}");
        }
        let held = matches!(item.verdict, Verdict::ApiServerOnly | Verdict::Neither);
        assert!(!held || !ours.reasons.is_empty(), "no reason is told for {about}");
        assert!(ours.reasons.iter().all(|reason| !reason.is_empty()), "{about}");
    }
    // One more is the cluster's own.
    let in_files: usize = items.iter().map(|item| item.kids.len()).sum();
    assert!(
        theirs.len() <= in_files + 1,
        "the API server found keys that the test does not know of"
    );
}

#[tokio::test]
async fn the_api_server_publishes_nothing_beside_a_p224_key_and_the_service_all_but_that_key() {
    let Some(programs) = Programs::find(PROGRAMS) else {
        return;
    };
    let mut cluster = Cluster::start(&programs, "https://keys.example").await;
    let p224 = cluster.signing_key.with_file_name("p224.pem");
    std::fs::write(&p224, Corpus::p224(&programs)).expect("a file");
    let good = cluster.jwks().await;

    cluster
        .restart_with_keys(&[cluster.signing_key.clone(), p224.clone()])
        .await;
    for path in ["/openid/v1/jwks", "/.well-known/openid-configuration"] {
        assert_eq!(cluster.get(path).await.status, 404, "{path}");
    }
    let both = p224.with_file_name("both.pem");
    let text = [&p224, &cluster.signing_key]
        .map(|file| std::fs::read_to_string(file).expect("a file"))
        .concat();
    std::fs::write(&both, text).expect("a file");
    let ours = Inspected::of(&both);
    assert_eq!(ours.published, by_kid(&jwks_of(&good)));
    assert_eq!(ours.reasons.len(), 1, "{ours:?}");
}

/// What `inspect --output json` says of one file.
#[derive(Debug)]
struct Inspected {
    /// The JWK of each `kid`, as it is published.
    published: BTreeMap<String, String>,
    /// Why the others are not.
    reasons: Vec<String>,
}

impl Inspected {
    fn of(file: &Path) -> Self {
        let output = run(&[
            "inspect".as_ref(),
            "--output".as_ref(),
            "json".as_ref(),
            file.as_os_str(),
        ]);
        let report: Value = serde_json::from_str(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", output.stdout, output.stderr));
        let list = |name: &str| keys(&report[name]);
        let published: Vec<Value> = list("keys").iter().map(|key| key["jwk"].clone()).collect();
        // A file without a single good key counts as failed, with the reasons of all of its keys.
        let reasons = [list("quarantined"), list("failed")].concat();
        let reasons = reasons
            .iter()
            .map(|entry| entry["reason"].as_str().unwrap_or_default().to_owned());
        assert_eq!(output.code, Some(i32::from(published.is_empty())), "{report}");
        let published = by_kid(&published);
        Self {
            published,
            reasons: reasons.collect(),
        }
    }
}

/// The API server does not start with a file that has no key for it: such a file gets the cluster's own.
fn for_the_api_server(folder: &Path, items: &[Item], companion: &Path) -> Vec<PathBuf> {
    let companion = std::fs::read_to_string(companion).expect("the key");
    let file = |(index, item): (usize, &Item)| {
        let path = folder.join(format!("{index}.pem"));
        if matches!(item.verdict, Verdict::ServiceOnly | Verdict::Neither) {
            let path = path.with_extension("with-companion.pem");
            std::fs::write(&path, [&companion, &item.text[..]].concat()).expect("a file");
            return path;
        }
        path
    };
    items.iter().enumerate().map(file).collect()
}

fn write(folder: &Path, items: &[Item]) -> Vec<PathBuf> {
    let file = |(index, item): (usize, &Item)| {
        let path = folder.join(format!("{index}.pem"));
        std::fs::write(&path, &item.text).expect("a file");
        path
    };
    items.iter().enumerate().map(file).collect()
}

fn jwks_of(body: &str) -> Vec<Value> {
    let document: Value = serde_json::from_str(body).expect("a JWKS");
    keys(&document["keys"])
}

fn keys(list: &Value) -> Vec<Value> {
    list.as_array()
        .unwrap_or_else(|| panic!("no list of keys: {list}"))
        .clone()
}

/// Compact JSON with its members in the order of the document.
fn by_kid(keys: &[Value]) -> BTreeMap<String, String> {
    keys.iter()
        .map(|jwk| {
            (
                jwk["kid"].as_str().unwrap_or_default().to_owned(),
                jwk.to_string(),
            )
        })
        .collect()
}
