//! What is served, beside what the API server itself serves.

use super::cluster::CLUSTER;
use super::programs::Programs;
use super::world::World;

#[tokio::test]
async fn both_documents_are_byte_equal_to_the_api_servers_own() {
    let Some(programs) = Programs::find(CLUSTER) else {
        return;
    };
    let world = World::shared(&programs).await;
    let http = world.service.http();

    let discovery = http
        .get(&format!("{}/.well-known/openid-configuration", world.issuer))
        .await;
    assert_eq!(discovery.status, 200);
    assert_eq!(
        discovery.body,
        world.cluster.get("/.well-known/openid-configuration").await.body
    );

    let jwks = http.get(&format!("{}/jwks", world.issuer)).await;
    assert_eq!(jwks.status, 200);
    assert_eq!(jwks.body, world.cluster.jwks().await);
}
