//! One of two API servers is not what it was: what it lists is judged alone, and the other one is believed as before.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::api::ADMIN;
use super::apiserver::Keys;
use super::cluster::CLUSTER;
use super::control_plane::{ADDRESSES, ControlPlane};
use super::namespace;
use super::program::eventually;
use super::programs::Programs;
use super::replicas::{Replicas, kids};
use super::wire::Wire;

const ISSUER: &str = "https://keys.example";

struct World {
    plane: ControlPlane,
    replicas: Replicas,
    published: String,
    _service_address: Wire,
}

impl World {
    async fn start(programs: &Programs, confirmation: serde_json::Value) -> Self {
        let plane = ControlPlane::start(programs, ISSUER).await;
        let service_address = Wire::to(&ControlPlane::addresses()).await;
        // Any API server takes it, whatever keys it has.
        let token = plane.file("token", ADMIN);
        let source = json!({
            "server": service_address.url(),
            "caFile": plane.ca(),
            "tokenFile": token,
            "endpoints": true,
        });
        let config = json!({
            "issuers": [{
                "issuer": ISSUER,
                "refresh": "1s",
                "confirmation": confirmation,
                "sources": [{ "apiServer": source }],
            }],
            "store": { "file": {} },
        });
        let replicas = Replicas::start(1, &config, plane.pki()).await;
        let published = replicas.agree("the key", |kids| kids.len() == 1).await.body;
        Self {
            plane,
            replicas,
            published,
            _service_address: service_address,
        }
    }

    async fn endpoints(&self, state: &str) -> f64 {
        let label = format!("state=\"{state}\"");
        let row = self.replicas.row(0, "oidc_issuer_source_endpoints", &label);
        row.await.unwrap_or_default()
    }

    /// Waits until both endpoints are in this state.
    async fn read(&self, read: f64, silent: f64) {
        eventually("how the endpoints answer", async || {
            let now = [self.endpoints("read").await, self.endpoints("silent").await];
            let apart = (now[0] - read).abs() + (now[1] - silent).abs();
            (apart < 0.1).then_some(())
        })
        .await;
    }

    /// Waits for so many reads, in none of which anything that is published may change.
    async fn unchanged_for(&self, reads: f64) {
        let count = async || {
            let reads = self
                .replicas
                .row(0, "oidc_issuer_source_reads_total", "result=\"success\"");
            reads.await.unwrap_or_default()
        };
        let before = count().await;
        let deadline = Instant::now() + Duration::from_mins(1);
        while count().await < before + reads {
            let answer = self.replicas.document(0, "/jwks").await.expect("an answer");
            assert_eq!((answer.status, &answer.body), (200, &self.published));
            assert!(Instant::now() < deadline, "the source is not read any more");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn only(key: &Path) -> Keys {
        Keys {
            signing: key.to_owned(),
            listed: vec![key.to_owned()],
        }
    }
}

#[test]
fn of_two_api_servers_one_with_foreign_keys_is_held_and_the_other_goes_on() {
    namespace::alone(CLUSTER, &ADDRESSES, |programs| async move {
        let mut world = World::start(&programs, json!("manual")).await;
        let foreign = world.plane.new_key("foreign");
        world.plane.restart(1, "KILL", World::only(&foreign)).await;
        world.read(2.0, 0.0).await;
        world.unchanged_for(6.0).await;
        let held = world.replicas.metric(0, "oidc_issuer_held_changes").await;
        assert!(held > Some(0.0), "the change is told: {held:?}");

        // The other one's next key needs no confirmation.
        let first = world.plane.keys(0).signing.clone();
        let next = world.plane.new_key("next");
        let both = Keys {
            signing: first.clone(),
            listed: vec![first, next],
        };
        world.plane.restart(0, "TERM", both).await;
        let foreign = kids(&world.plane.api(1).jwks().await);
        let body = world
            .replicas
            .agree("the next key", |kids| kids.len() == 2)
            .await
            .body;
        assert!(!body.contains(&foreign[0]), "{body}");
    });
}

#[test]
fn of_two_api_servers_one_of_another_issuer_is_never_published() {
    namespace::alone(CLUSTER, &ADDRESSES, |programs| async move {
        let mut world = World::start(&programs, json!(1)).await;
        let foreign = world.plane.new_key("foreign");
        world
            .plane
            .replace(1, "https://another.example", World::only(&foreign))
            .await;
        world.read(1.0, 1.0).await;
        world.unchanged_for(6.0).await;
    });
}
