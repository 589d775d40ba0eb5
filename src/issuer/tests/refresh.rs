//! A refresh that finds nothing new writes nothing, and makes no publication.

use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::{get, post};
use http::StatusCode;
use serde_json::{Value, json};

use super::*;
use crate::client::ApiServerSettings;
use crate::publication::fake::made;
use crate::store::{KubernetesSettings, StoreSettings};

const REFRESH: SignedDuration = SignedDuration::from_millis(100);

/// All that a refresh could have left behind.
#[derive(Debug, PartialEq)]
struct Left {
    /// Where the publication is in memory, and how many were made at all.
    publication: (*const Served, u32),
    /// How often the ledger on this machine was written.
    local: u64,
    /// How often the shared store was written.
    shared: u32,
}

impl Left {
    fn by(house: &House, shared: u32) -> Self {
        let local = house.shared.stores.kept();
        assert!(local > 0);
        Self {
            publication: (Arc::as_ptr(&house.published(A).unwrap().unwrap()), made()),
            local,
            shared,
        }
    }
}

#[tokio::test]
async fn a_refresh_that_finds_nothing_new_writes_nothing_and_makes_no_new_publication() {
    let mut house = House::new();
    let (stores, shared) = Stores::faked(&house.file("state"), A);
    house.shared.stores = stores;
    let kid = house.key("1.pem");
    let settings = IssuerSettings {
        refresh: REFRESH,
        ..house.issuer(A, "*.pem")
    };
    let issuers = house.start(vec![settings]);
    house.until_kids(A, &[&kid]).await;
    house.until("it is written", || shared().writes == 1).await;

    let before = Left::by(&house, shared().writes);
    let (reads, of_store) = (house.reads(), shared().reads);
    house
        .until("both were read again and again", || {
            house.reads() >= reads + 5.0 && shared().reads >= of_store + 5
        })
        .await;
    assert_eq!(Left::by(&house, shared().writes), before);

    // The same measure notices a change.
    house.key("2.pem");
    house
        .until("the change is written", || shared().writes == 2)
        .await;
    let after = Left::by(&house, shared().writes);
    assert_ne!(after.publication.0, before.publication.0);
    assert_ne!(after.publication.1, before.publication.1);
    assert_ne!(after.local, before.local);
    issuers.shutdown().await;
}

#[tokio::test]
async fn nor_does_one_of_an_api_server_that_keeps_the_ledger_too() {
    let mut house = House::new();
    let api = Api::start(&[&house.jwk()]).await;
    house.shared.stores = api.stores(&house);
    let mut settings = house.issuer(A, "*.pem");
    settings.refresh = REFRESH;
    settings.sources[0].settings = SourceSettings::ApiServer(api.access.clone());
    let issuers = house.start(vec![settings]);
    house.until("it is published", || house.kids(A).len() == 1).await;
    house.until("it is written", || api.writes() == 1).await;

    let before = Left::by(&house, api.writes());
    let (reads, of_store) = (house.reads(), api.reads());
    house
        .until("both were read again and again", || {
            house.reads() >= reads + 5.0 && api.reads() >= of_store + 5
        })
        .await;
    assert_eq!(Left::by(&house, api.writes()), before);

    // The same measure notices a change.
    api.lists(&[&house.jwk()]);
    house
        .until("the change is written", || {
            house.kids(A).len() == 2 && api.writes() > 1
        })
        .await;
    let after = Left::by(&house, api.writes());
    assert_ne!(after.publication.0, before.publication.0);
    assert_ne!(after.publication.1, before.publication.1);
    assert_ne!(after.local, before.local);
    issuers.shutdown().await;
}

impl House {
    /// A new key, as an API server lists it.
    fn jwk(&self) -> String {
        let name = "jwk";
        self.key(name);
        let keys = parse_file(&fs::read(self.file(name)).unwrap()).unwrap().keys;
        keys[0].jwk().to_owned()
    }
}

/// An API server: the two documents of a cluster, and one `ConfigMap`.
#[derive(Clone)]
struct Api {
    access: ApiServerSettings,
    jwks: Arc<Mutex<String>>,
    object: Arc<Mutex<Option<Value>>>,
    /// How often the object was read, and written.
    reads: Arc<AtomicU32>,
    writes: Arc<AtomicU32>,
}

impl Api {
    async fn start(jwks: &[&str]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Self {
            access: ApiServerSettings {
                server: Some(format!("http://{}", listener.local_addr().unwrap())),
                ..ApiServerSettings::default()
            },
            jwks: Arc::default(),
            object: Arc::default(),
            reads: Arc::default(),
            writes: Arc::default(),
        };
        api.lists(jwks);
        let name = "/api/v1/namespaces/home/configmaps/{name}";
        let router = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(async || json!({ "issuer": A }).to_string()),
            )
            .route(
                "/openid/v1/jwks",
                get(async |State(api): State<Self>| api.jwks.lock().unwrap().clone()),
            )
            .route("/api/v1/namespaces/home/configmaps", post(write))
            .route(name, get(read).put(write))
            .with_state(api.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        api
    }

    fn lists(&self, jwks: &[&str]) {
        *self.jwks.lock().unwrap() = format!("{{\"keys\":[{}]}}", jwks.join(","));
    }

    fn reads(&self) -> u32 {
        self.reads.load(Ordering::SeqCst)
    }

    fn writes(&self) -> u32 {
        self.writes.load(Ordering::SeqCst)
    }

    /// Its `ConfigMap`, with copies in the house.
    fn stores(&self, house: &House) -> Stores {
        let shared = KubernetesSettings {
            access: self.access.clone(),
            namespace: Some("home".into()),
            name_prefix: "oidc-issuer".into(),
        };
        let local = crate::store::fake::local(&house.file("state"));
        Stores::open(StoreSettings::Kubernetes { shared, local }).unwrap()
    }
}

async fn read(
    axum::extract::Path(name): axum::extract::Path<String>,
    State(api): State<Api>,
) -> (StatusCode, String) {
    api.reads.fetch_add(1, Ordering::SeqCst);
    if let Some(object) = &*api.object.lock().unwrap() {
        (StatusCode::OK, object.to_string())
    } else {
        let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound",
            "details": { "name": name, "kind": "configmaps" }, "code": 404 });
        (StatusCode::NOT_FOUND, status.to_string())
    }
}

async fn write(State(api): State<Api>, body: Bytes) -> String {
    let version = api.writes.fetch_add(1, Ordering::SeqCst) + 1;
    let mut object: Value = serde_json::from_slice(&body).unwrap();
    object["metadata"]["resourceVersion"] = version.to_string().into();
    object["metadata"]["namespace"] = "home".into();
    object["metadata"]["uid"] = "the first".into();
    let answer = object.to_string();
    *api.object.lock().unwrap() = Some(object);
    answer
}
