use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::*;
use crate::objects::Bucket;
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
    let (ours, theirs, _) = pair_over();
    (ours, theirs)
}

fn pair_over() -> (Object, Object, Arc<dyn ObjectStore>) {
    let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let object = || {
        let mut object = Object::new(&settings("s3://keys/prod"), ISSUER, Connections::default());
        object.storage = object.storage.over(Arc::clone(&bucket));
        object
    };
    (object(), object(), bucket)
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
    let (mut object, _, bucket) = pair_over();
    let version = object.save(octets("one"), &Version::Absent, None).await.unwrap();
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
