mod connections;

use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::{Path as Segment, State};
use axum::routing::{get, post};

use super::*;
use crate::client::ApiServerSettings;
use crate::store::Replica;
use crate::store::fake::ISSUER;
use crate::store::shared::Shared;

/// As much of an API server as there is to `ConfigMap`s.
#[derive(Clone)]
struct Api {
    objects: Arc<Mutex<Vec<Value>>>,
    address: String,
}

type Answered = (StatusCode, String);

impl Api {
    async fn start() -> (Self, ConfigMap) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Self {
            objects: Arc::default(),
            address: format!("http://{}", listener.local_addr().unwrap()),
        };
        let router = Router::new()
            .route("/api/v1/namespaces/{namespace}/configmaps", post(create))
            .route(
                "/api/v1/namespaces/{namespace}/configmaps/{name}",
                get(read).put(update),
            )
            .with_state(api.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        let object = config_map(&api);
        (api, object)
    }

    fn objects(&self) -> MutexGuard<'_, Vec<Value>> {
        self.objects.lock().unwrap()
    }

    fn the(&self, name: &str) -> Option<Value> {
        let objects = self.objects();
        objects
            .iter()
            .find(|object| object["metadata"]["name"] == name)
            .cloned()
    }

    /// As `kubectl edit` does.
    fn edit(&self, edit: impl Fn(&mut Value)) {
        let mut objects = self.objects();
        let number = objects.len();
        for object in objects.iter_mut() {
            edit(object);
            let next = format!("{}-edited-{number}", object["metadata"]["resourceVersion"]);
            object["metadata"]["resourceVersion"] = next.into();
        }
    }
}

fn config_map(api: &Api) -> ConfigMap {
    ConfigMap::new(&settings(&api.address), ISSUER, Connections::default())
}

fn settings(address: &str) -> KubernetesSettings {
    KubernetesSettings {
        access: ApiServerSettings {
            server: Some(address.to_owned()),
            ..ApiServerSettings::default()
        },
        namespace: Some("home".into()),
        name_prefix: "oidc-issuer".into(),
    }
}

/// What an API server says instead.
fn status(code: StatusCode, reason: &str, message: &str, kind: &str, name: &str) -> Answered {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason,
        "details": { "name": name, "kind": kind }, "code": code.as_u16(),
    });
    (code, status.to_string())
}

fn not_found(kind: &str, name: &str) -> Answered {
    let message = format!("{kind} \"{name}\" not found");
    status(StatusCode::NOT_FOUND, "NotFound", &message, kind, name)
}

fn conflict(reason: &str, name: &str) -> Answered {
    status(
        StatusCode::CONFLICT,
        reason,
        "the object has been modified",
        KIND,
        name,
    )
}

async fn create(State(api): State<Api>, Segment(namespace): Segment<String>, body: Bytes) -> Answered {
    let mut object: Value = serde_json::from_slice(&body).unwrap();
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    if namespace != "home" {
        return not_found("namespaces", &namespace);
    }
    if api.the(&name).is_some() {
        return conflict("AlreadyExists", &name);
    }
    object["metadata"]["resourceVersion"] = "1".into();
    object["metadata"]["namespace"] = namespace.into();
    object["metadata"]["uid"] = format!("uid-{}", api.objects().len()).into();
    api.objects().push(object.clone());
    (StatusCode::CREATED, object.to_string())
}

async fn read(State(api): State<Api>, Segment((_, name)): Segment<(String, String)>) -> Answered {
    match api.the(&name) {
        Some(object) if object["forbidden"] == true => {
            let message =
                format!("configmaps \"{name}\" is forbidden: User \"me\" cannot get resource \"configmaps\"");
            status(StatusCode::FORBIDDEN, "Forbidden", &message, KIND, &name)
        }
        Some(mut object) => {
            object["metadata"]["namespace"] = "home".into();
            if object["metadata"]["uid"].is_null() {
                object["metadata"]["uid"] = "made-by-hand".into();
            }
            (StatusCode::OK, object.to_string())
        }
        None => not_found(KIND, &name),
    }
}

async fn update(
    State(api): State<Api>,
    Segment((_, name)): Segment<(String, String)>,
    body: Bytes,
) -> Answered {
    let mut object: Value = serde_json::from_slice(&body).unwrap();
    let mut objects = api.objects();
    let Some(stored) = objects
        .iter_mut()
        .find(|object| object["metadata"]["name"] == *name)
    else {
        return not_found(KIND, &name);
    };
    if stored["immutable"] == true {
        let message = "data: Forbidden: field is immutable when `immutable` is set";
        return status(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message, KIND, &name);
    }
    let version = stored["metadata"]["resourceVersion"].clone();
    if object["metadata"]["resourceVersion"] != version {
        return conflict("Conflict", &name);
    }
    object["metadata"]["resourceVersion"] = format!("{}+", version.as_str().unwrap()).into();
    *stored = object.clone();
    (StatusCode::OK, object.to_string())
}

fn octets(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

async fn stored(object: &mut ConfigMap) -> Stored {
    match object.load(None).await.unwrap() {
        Read::Stored(stored) => stored,
        Read::Unchanged => panic!("nothing was known"),
    }
}

fn bytes(stored: &Stored) -> Option<Bytes> {
    stored.content.as_ref().map(|content| content.bytes.clone())
}

#[tokio::test]
async fn it_is_created_updated_and_read() {
    let (api, mut object) = Api::start().await;
    let nothing = stored(&mut object).await;
    assert_eq!((nothing.content, &nothing.version), (None, &Version::Absent));
    assert!(matches!(
        object.load(Some(&Version::Absent)).await,
        Ok(Read::Unchanged)
    ));

    let first = object.save(octets("one"), &Version::Absent, None).await.unwrap();
    let second = object
        .save(octets("two"), &first, Some(octets("one")))
        .await
        .unwrap();
    assert_ne!(first, second);
    assert!(matches!(object.load(Some(&second)).await, Ok(Read::Unchanged)));
    let now = stored(&mut object).await;
    assert_eq!(bytes(&now), Some(octets("two")));
    assert_eq!(
        object.previous().map(|content| content.bytes),
        Some(octets("one"))
    );
    assert_eq!(now.version, second);

    let object = api.objects()[0].clone();
    let name = object["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("oidc-issuer-oidc-example-com-prod-"), "{name}");
    assert_eq!(object["metadata"]["annotations"]["oidc-issuer/issuer"], ISSUER);
    assert_eq!(
        object["metadata"]["labels"],
        json!({
            "app.kubernetes.io/name": "oidc-issuer",
            "app.kubernetes.io/component": "ledger",
            "app.kubernetes.io/managed-by": "oidc-issuer",
        })
    );
}

#[tokio::test]
async fn who_was_slower_has_lost() {
    let (api, mut ours) = Api::start().await;
    let mut theirs = config_map(&api);
    stored(&mut ours).await;
    stored(&mut theirs).await;
    let first = ours.save(octets("one"), &Version::Absent, None).await.unwrap();
    let lost = theirs.save(octets("other"), &Version::Absent, None).await;
    assert!(matches!(lost, Err(SaveError::Lost)), "{lost:?}");

    let read = stored(&mut theirs).await;
    theirs.save(octets("two"), &read.version, None).await.unwrap();
    let lost = ours.save(octets("three"), &first, None).await;
    assert!(matches!(lost, Err(SaveError::Lost)), "{lost:?}");
    assert_eq!(bytes(&stored(&mut ours).await), Some(octets("two")));
}

#[tokio::test]
async fn one_that_was_deleted_is_created_anew() {
    let (api, mut object) = Api::start().await;
    stored(&mut object).await;
    let version = object.save(octets("one"), &Version::Absent, None).await.unwrap();
    api.objects().clear();
    let lost = object.save(octets("two"), &version, None).await;
    assert!(matches!(lost, Err(SaveError::Lost)), "{lost:?}");
    let nothing = stored(&mut object).await;
    assert_eq!(nothing.version, Version::Absent);
    object.save(octets("two"), &Version::Absent, None).await.unwrap();
}

#[tokio::test]
async fn what_others_wrote_beside_the_ledger_stays() {
    let (api, mut object) = Api::start().await;
    stored(&mut object).await;
    object.save(octets("one"), &Version::Absent, None).await.unwrap();
    api.edit(|object| {
        object["metadata"]["labels"]["team"] = "identity".into();
        object["metadata"]["ownerReferences"] = json!([{ "name": "someone" }]);
        object["metadata"]["managedFields"] = json!([{ "manager": "kubectl" }]);
        object["data"]["note"] = "do not delete".into();
    });
    let now = stored(&mut object).await;
    object.save(octets("two"), &now.version, None).await.unwrap();
    let object = api.objects()[0].clone();
    assert_eq!(object["metadata"]["labels"]["team"], "identity");
    assert_eq!(object["metadata"]["ownerReferences"][0]["name"], "someone");
    assert_eq!(object["metadata"]["managedFields"], Value::Null);
    assert_eq!(object["data"]["note"], "do not delete");
    assert_eq!(object["data"][LEDGER], "two");
}

#[tokio::test]
async fn an_empty_one_may_be_made_beforehand() {
    let (api, mut object) = Api::start().await;
    let name = object.name.clone();
    api.objects().push(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "resourceVersion": "7" },
    }));
    let empty = stored(&mut object).await;
    assert_eq!(empty.content, None);
    object.save(octets("one"), &empty.version, None).await.unwrap();
    assert_eq!(bytes(&stored(&mut object).await), Some(octets("one")));
}

#[tokio::test]
async fn a_config_map_of_someone_else_is_left_alone() {
    let (api, mut object) = Api::start().await;
    let name = object.name.clone();
    api.objects().push(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "resourceVersion": "7" },
        "data": { "their": "data" },
    }));
    let error = object.load(None).await.unwrap_err().to_string();
    assert!(error.contains("belongs to something else"), "{error}");
}

#[tokio::test]
async fn one_of_ours_that_was_emptied_is_a_lost_ledger_and_one_that_is_answered_without_its_data_is_unknown()
{
    let (api, mut object) = Api::start().await;
    stored(&mut object).await;
    object.save(octets("one"), &Version::Absent, None).await.unwrap();
    api.edit(|object| object["data"] = Value::Null);
    let emptied = stored(&mut object).await;
    let content = emptied.content.expect("a ledger of which nothing is left");
    assert_eq!((content.bytes.len(), content.proof), (0, Proof::Ours));
    let judged = crate::store::opening::judge_stored(&content, ISSUER);
    assert!(
        matches!(judged, crate::store::opening::Judged::Torn(_)),
        "{judged:?}"
    );
    // The API server's records say that the ledger is there: something else took it out of the answer.
    api.edit(|object| {
        object["metadata"]["managedFields"] = json!([{ "fieldsV1": { "f:data": { "f:ledger.json": {} } } }]);
    });
    let error = object.load(None).await.unwrap_err().to_string();
    assert!(error.contains("managedFields"), "{error}");
}

#[tokio::test]
async fn a_replica_counts_one_of_ours_that_was_emptied_once_and_goes_on() {
    for edit in [
        |object: &mut Value| object["data"] = json!({}),
        |object: &mut Value| object["data"] = json!({ "note": "kept" }),
    ] {
        let (api, mut object) = Api::start().await;
        stored(&mut object).await;
        object.save(octets("one"), &Version::Absent, None).await.unwrap();
        api.edit(edit);
        let shared = Shared::Kubernetes(Box::new(config_map(&api)));
        let replica = Replica::new(ISSUER, None, Some(shared));
        let opened = tokio::time::timeout(std::time::Duration::from_secs(20), replica.open());
        assert!(
            opened.await.unwrap().is_empty(),
            "what the sources list is published"
        );
        assert_eq!(replica.status_now().lost, 1);
    }
}

#[tokio::test]
async fn an_error_says_what_to_do() {
    let (api, mut object) = Api::start().await;
    stored(&mut object).await;
    let version = object.save(octets("one"), &Version::Absent, None).await.unwrap();
    api.objects()[0]["immutable"] = true.into();
    let error = format!("{:?}", object.save(octets("two"), &version, None).await);
    assert!(error.contains("Remove `immutable: true`"), "{error}");
    api.objects()[0]["forbidden"] = true.into();
    let error = object.load(None).await.unwrap_err().to_string();
    assert!(error.contains("403") && error.contains("Role"), "{error}");
    let large = Bytes::from(vec![b'x'; MAX_DATA + 1]);
    let error = format!("{:?}", object.save(large, &version, None).await);
    assert!(error.contains("use store.objectStorage"), "{error}");

    let nowhere = KubernetesSettings {
        namespace: Some("nowhere".into()),
        ..settings(&api.address)
    };
    let mut object = ConfigMap::new(&nowhere, ISSUER, Connections::default());
    let error = format!("{:?}", object.save(octets("one"), &Version::Absent, None).await);
    assert!(error.contains("Create the namespace"), "{error}");
}

#[tokio::test]
async fn what_is_torn_is_kept_in_an_object_of_its_own() {
    let (api, mut object) = Api::start().await;
    let torn = Stored {
        content: Some(Content {
            bytes: Bytes::from_static(b"\xff torn"),
            proof: Proof::Ours,
        }),
        version: Version::Resource("1".into()),
    };
    let place = object.set_aside(&torn).await.unwrap();
    assert_eq!(object.set_aside(&torn).await.unwrap(), place, "once");
    let objects = api.objects();
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["binaryData"]["torn"], STANDARD.encode(b"\xff torn"));
    assert!(
        place.ends_with(objects[0]["metadata"]["name"].as_str().unwrap()),
        "{place}"
    );
}
