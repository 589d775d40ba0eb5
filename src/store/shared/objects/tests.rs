use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;

use super::client::check_credentials;
use super::*;
use crate::store::fake::ISSUER;

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

/// Two replicas with one bucket.
fn pair() -> (Object, Object) {
    let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let object = || Object {
        client: Some(Arc::clone(&bucket)),
        ..Object::new(&settings("s3://keys/prod"), ISSUER, Connections::default())
    };
    (object(), object())
}

fn octets(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

async fn stored(object: &mut Object) -> Stored {
    match object.load(None).await.unwrap() {
        Read::Stored(stored) => stored,
        Read::Unchanged => panic!("nothing was known"),
    }
}

fn bytes(stored: &Stored) -> Option<Bytes> {
    stored.content.as_ref().map(|content| content.bytes.clone())
}

#[tokio::test]
async fn an_object_is_created_updated_and_read() {
    let (mut object, _) = pair();
    assert!(
        object
            .place()
            .starts_with("s3://keys/prod/oidc-example-com-prod-")
    );
    let nothing = stored(&mut object).await;
    assert_eq!((nothing.content, &nothing.version), (None, &Version::Absent));
    let first = object.save(octets("one"), &Version::Absent, None).await.unwrap();
    let second = object
        .save(octets("two"), &first, Some(octets("one")))
        .await
        .unwrap();
    let now = stored(&mut object).await;
    assert_eq!(bytes(&now), Some(octets("two")));
    assert!(matches!(
        object.load(Some(&now.version)).await,
        Ok(Read::Unchanged)
    ));
    assert_ne!(first, second);
    let previous = object.previous().await.unwrap().map(|content| content.bytes);
    assert_eq!(previous, Some(octets("one")));
}

#[tokio::test]
async fn who_was_slower_has_lost() {
    let (mut ours, mut theirs) = pair();
    let first = ours.save(octets("one"), &Version::Absent, None).await.unwrap();
    let lost = theirs.save(octets("other"), &Version::Absent, None).await;
    assert!(matches!(lost, Err(SaveError::Lost)), "{lost:?}");
    theirs.save(octets("two"), &first, None).await.unwrap();
    let lost = ours.save(octets("three"), &first, None).await;
    assert!(matches!(lost, Err(SaveError::Lost)), "{lost:?}");
    assert_eq!(bytes(&stored(&mut ours).await), Some(octets("two")));
}

#[tokio::test]
async fn one_that_was_deleted_has_lost_too() {
    let (mut object, _) = pair();
    let version = object.save(octets("one"), &Version::Absent, None).await.unwrap();
    let bucket = object.client().await.unwrap();
    bucket.delete(&object.path.clone()).await.unwrap();
    let lost = object.save(octets("two"), &version, None).await;
    assert!(matches!(lost, Err(SaveError::Lost)), "{lost:?}");
    assert_eq!(stored(&mut object).await.version, Version::Absent);
}

#[tokio::test]
async fn what_is_torn_is_kept_beside_it() {
    let (mut object, _) = pair();
    object.save(octets("torn"), &Version::Absent, None).await.unwrap();
    let now = stored(&mut object).await;
    let place = object.set_aside(&now).await.unwrap();
    assert!(place.contains(".json.torn-"), "{place}");
    assert_eq!(object.set_aside(&now).await.unwrap(), place, "once");
    assert_eq!(object.previous().await.unwrap(), None);
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
    client::client(&s3, Connections::default()).unwrap();
    s3.credentials_file = file("bad", "AWS_ACCESS_KEI=secret");
    let error = client::client(&s3, Connections::default()).unwrap_err();
    assert!(
        error.contains("AWS_ACCESS_KEI") && !error.contains("secret"),
        "{error}"
    );
    s3.credentials_file = None;
    s3.ca_file = file("ca", "nothing");
    let error = client::client(&s3, Connections::default()).unwrap_err();
    assert!(error.contains("holds no CERTIFICATE"), "{error}");
    let mut azure = settings("az://keys");
    azure.account = Some("me".into());
    azure.credentials_file = file("key", "AZURE_STORAGE_ACCOUNT_KEY=!secret");
    let error = client::client(&azure, Connections::default())
        .map(drop)
        .unwrap_err();
    assert!(!error.contains("secret"), "{error}");
}
