use super::client::check_credentials;
use super::*;

const MAX: usize = 1 << 20;

fn settings(url: &str) -> ObjectStorageSettings {
    ObjectStorageSettings {
        bucket: Bucket::parse(url).unwrap(),
        endpoint: None,
        region: None,
        account: None,
        ca_file: None,
        credentials_file: None,
    }
}

#[test]
fn a_bucket_is_a_kind_a_name_and_a_prefix() {
    for (url, shown) in [
        ("s3://keys", "s3://keys"),
        ("s3://keys/a/b/", "s3://keys"),
        ("gs://keys/a", "gs://keys"),
        ("az://keys", "az://keys"),
    ] {
        assert_eq!(Bucket::parse(url).unwrap().to_string(), shown, "{url}");
    }
    let bucket = Bucket::parse("s3://keys/a/b/").unwrap();
    assert_eq!(bucket.prefix.to_string(), "a/b");
    assert_eq!(bucket.with_prefix(), "s3://keys/a/b");
    assert_eq!(Bucket::parse("s3://keys").unwrap().with_prefix(), "s3://keys");
    for url in [
        "keys",
        "s3:///a",
        "file:///a",
        "https://keys.s3.amazonaws.com",
        "s3://user@keys",
        "s3://keys?x=y",
        "s3://keys:9000/a",
    ] {
        let error = Bucket::parse(url).unwrap_err();
        assert!(error.contains("s3://BUCKET/PREFIX"), "{url}: {error}");
    }
}

#[test]
fn a_file_with_credentials_has_the_variables_of_its_kind() {
    let bucket = Bucket::parse("s3://keys").unwrap();
    let text = "# keys of the bucket\nAWS_ACCESS_KEY_ID=a=b\nexport AWS_SECRET_ACCESS_KEY=\"s\"\n\n";
    let read = check_credentials(text, &bucket).unwrap();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        read,
        [
            pair("AWS_ACCESS_KEY_ID", "a=b"),
            pair("AWS_SECRET_ACCESS_KEY", "s")
        ]
    );
    let error = check_credentials("\nsecret", &bucket).unwrap_err();
    assert!(
        error.starts_with("line 2 ") && !error.contains("secret"),
        "{error}"
    );
    let error = check_credentials("GOOGLE_X=secret", &bucket).unwrap_err();
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn a_client_is_made_of_settings_and_says_what_is_wrong_with_them() {
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    let mut s3 = settings("s3://keys");
    s3.credentials_file = file("good", "AWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY=b\n");
    s3.endpoint = Some("http://127.0.0.1:1".into());
    client::client(&s3, MAX, Connections::default()).unwrap();
    s3.credentials_file = file("bad", "AWS_ACCESS_KEI=secret");
    let error = client::client(&s3, MAX, Connections::default()).unwrap_err();
    assert!(
        error.contains("AWS_ACCESS_KEI") && !error.contains("secret"),
        "{error}"
    );
    s3.credentials_file = None;
    s3.ca_file = file("ca", "nothing");
    let error = client::client(&s3, MAX, Connections::default()).unwrap_err();
    assert!(error.contains("holds no CERTIFICATE"), "{error}");
    let mut azure = settings("az://keys");
    azure.account = Some("me".into());
    azure.credentials_file = file("key", "AZURE_STORAGE_ACCOUNT_KEY=!secret");
    let error = client::client(&azure, MAX, Connections::default())
        .map(drop)
        .unwrap_err();
    assert!(!error.contains("secret"), "{error}");
}
