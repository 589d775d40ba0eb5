use super::*;
use crate::client::ApiServerSettings;
use crate::store::{Bucket, KubernetesSettings, LocalSettings, ObjectStorageSettings};

fn store(yaml: &str) -> StoreSettings {
    taken(&issuer_with(yaml)).store
}

fn local(file: &str, folders: &[&str]) -> LocalSettings {
    LocalSettings {
        file: file.into(),
        folders: folders.iter().map(PathBuf::from).collect(),
    }
}

fn copies() -> LocalSettings {
    local("/state/ledgers.db", &["/state/ledgers"])
}

#[test]
fn ledgers_are_in_a_database_in_the_state_folder_unless_told_otherwise() {
    let sqlite = |file: &str, folders: &[&str]| StoreSettings::Sqlite {
        local: local(file, folders),
    };
    let default = StoreSettings::Sqlite { local: copies() };
    assert_eq!(store(""), default);
    assert_eq!(store("store: {sqlite: {}}"), default);
    assert_eq!(store("stateDir: /s"), sqlite("/s/ledgers.db", &["/s/ledgers"]));
    assert_eq!(
        store("store: {sqlite: {file: /l.db}}"),
        sqlite("/l.db", &["/state/ledgers"])
    );
    // As in the release before: what is in the folder is taken over.
    assert_eq!(store("store: {file: {}}"), default);
    assert_eq!(
        store("store: {file: {folder: /l}}"),
        sqlite("/state/ledgers.db", &["/state/ledgers", "/l"])
    );
    for (yaml, is_warned) in [
        ("store: {file: {}}", true),
        ("store: {sqlite: {}}", false),
        ("", false),
    ] {
        let warnings = taken(&issuer_with(yaml)).warnings();
        let warns = warnings.iter().any(|warning| warning.contains("store.file"));
        assert_eq!(warns, is_warned, "{yaml}: {warnings:?}");
    }
    assert_eq!(store("store: {memory: {}}"), StoreSettings::Memory);
    assert!(taken(&issuer_with("")).keeps_state());
    assert!(!taken(&issuer_with("store: {memory: {}}\nlisteners: [{address: ':80'}]")).keeps_state());
}

#[test]
fn config_maps_are_in_the_pods_own_namespace_or_a_named_one() {
    let mut expected = KubernetesSettings {
        access: ApiServerSettings::default(),
        namespace: None,
        name_prefix: "oidc-issuer".into(),
    };
    let kubernetes = |shared: &KubernetesSettings| StoreSettings::Kubernetes {
        shared: shared.clone(),
        local: copies(),
    };
    assert_eq!(store("store: {kubernetes: {}}"), kubernetes(&expected));
    expected.access.kubeconfig = Some("/etc/oidc-issuer/k.yaml".into());
    expected.namespace = Some("keys".into());
    expected.name_prefix = "ours".into();
    assert_eq!(
        store("store: {kubernetes: {kubeconfig: k.yaml, namespace: keys, namePrefix: ours}}"),
        kubernetes(&expected)
    );
    assert_refused(
        &issuer_with("store: {kubernetes: {kubeconfig: k.yaml}}"),
        "store.kubernetes",
        "has no `namespace`",
    );
    for (field, told) in [("namespace: Keys", "small letters"), ("namePrefix: a-", "hyphen")] {
        let name = field.split(':').next().unwrap();
        assert_refused(
            &issuer_with(&format!("store: {{kubernetes: {{{field}}}}}")),
            &format!("store.kubernetes.{name}"),
            told,
        );
    }
}

#[test]
fn a_bucket_has_a_kind_and_what_belongs_to_it() {
    let expected = ObjectStorageSettings {
        bucket: Bucket::parse("s3://keys/prod").unwrap(),
        endpoint: Some("https://minio.example.com:9000".into()),
        region: Some("eu-1".into()),
        account: None,
        ca_file: Some("/etc/oidc-issuer/ca.crt".into()),
        credentials_file: Some("/run/keys".into()),
    };
    let yaml = "store: {objectStorage: {url: 's3://keys/prod', endpoint: 'https://minio.example.com:9000', region: eu-1, \
                caFile: ca.crt, credentialsFile: /run/keys}}";
    assert_eq!(
        store(yaml),
        StoreSettings::ObjectStorage {
            shared: expected,
            local: copies()
        }
    );
    for (fields, place, told) in [
        ("", "objectStorage", "has no `url`"),
        ("url: keys", "objectStorage.url", "s3://BUCKET/PREFIX"),
        ("url: 'gs://keys', region: eu-1", "objectStorage.region", "s3 URL"),
        ("url: 's3://keys', account: me", "objectStorage.account", "az URL"),
        (
            "url: 's3://keys', endpoint: 'http://minio:9000'",
            "objectStorage.endpoint",
            "loopback",
        ),
    ] {
        assert_refused(
            &issuer_with(&format!("store: {{objectStorage: {{{fields}}}}}")),
            &format!("store.{place}"),
            told,
        );
    }
}

#[test]
fn there_is_one_store() {
    assert_refused(&issuer_with("store: {}"), "store", "names no store");
    assert_refused(
        &issuer_with("store: {memory: {}, file: {}}"),
        "store",
        "memory and file at once",
    );
}

#[test]
fn another_store_needs_a_restart() {
    let old = taken(&issuer_with(""));
    let new = taken(&issuer_with("store: {memory: {}}"));
    assert_eq!(old.needing_restart(&new), ["store"]);
}
