//! The stores that replicas share, on real servers: what is written conditionally is refused to whoever was slower,
//! and replicas of the service agree to the byte, with the store up, down and back.

mod fleet;
mod google;
mod places;
mod races;

use places::{Azure, Google, Kubernetes, Place, S3};

use super::programs::Programs;

#[tokio::test]
async fn s3_refuses_a_write_over_what_was_not_read() {
    if let Some(programs) = Programs::find(S3::PROGRAMS) {
        races::one_wins(&S3::start(&programs).await.settings()).await;
    }
}

#[tokio::test]
async fn azure_refuses_a_write_over_what_was_not_read() {
    if let Some(programs) = Programs::find(Azure::PROGRAMS) {
        races::one_wins(&Azure::start(&programs).await.settings()).await;
    }
}

#[tokio::test]
async fn google_cloud_storage_refuses_a_write_over_what_was_not_read() {
    if let Some(programs) = Programs::find(Google::PROGRAMS) {
        races::one_wins(&Google::start(&programs).await.settings()).await;
    }
}

#[tokio::test]
async fn the_api_server_refuses_a_write_over_what_was_not_read() {
    if let Some(programs) = Programs::find(Kubernetes::PROGRAMS) {
        races::one_wins(&Kubernetes::start(&programs).await.settings()).await;
    }
}

#[tokio::test]
async fn replicas_agree_through_s3_whether_it_is_up_or_down() {
    if let Some(programs) = Programs::find(S3::PROGRAMS) {
        fleet::agrees(S3::start(&programs).await).await;
    }
}

#[tokio::test]
async fn replicas_agree_through_azure_whether_it_is_up_or_down() {
    if let Some(programs) = Programs::find(Azure::PROGRAMS) {
        fleet::agrees(Azure::start(&programs).await).await;
    }
}

#[tokio::test]
async fn replicas_agree_through_google_cloud_storage_whether_it_is_up_or_down() {
    if let Some(programs) = Programs::find(Google::PROGRAMS) {
        fleet::agrees(Google::start(&programs).await).await;
    }
}

#[tokio::test]
async fn replicas_agree_through_the_api_server_whether_it_is_up_or_down() {
    if let Some(programs) = Programs::find(Kubernetes::PROGRAMS) {
        fleet::agrees(Kubernetes::start(&programs).await).await;
    }
}

#[tokio::test]
async fn the_ledgers_are_config_maps_that_say_whose_they_are() {
    if let Some(programs) = Programs::find(Kubernetes::PROGRAMS) {
        let place = Kubernetes::start(&programs).await;
        let fleet = fleet::Fleet::new(&place);
        fleet.list("a");
        let replica = fleet.replica("1").await;
        replica.publishes(1).await;
        let ledger = place.only_ledger().await;
        let metadata = &ledger["metadata"];
        assert_eq!(metadata["labels"]["app.kubernetes.io/managed-by"], "oidc-issuer");
        assert_eq!(metadata["labels"]["app.kubernetes.io/component"], "ledger");
        assert_eq!(metadata["annotations"]["oidc-issuer/issuer"], fleet::ISSUER);
        let document = ledger["data"]["ledger.json"].as_str().expect("a ledger");
        assert!(document.contains(fleet::ISSUER), "{document}");

        // An operator finds them with a kubeconfig alone.
        let listed = place
            .keys(&["list", "--issuer", fleet::ISSUER, "--output", "json"])
            .await;
        assert_eq!(listed["keys"][0]["state"], "listed");
    }
}
