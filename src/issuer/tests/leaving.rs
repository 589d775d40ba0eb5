//! What an issuer leaves behind when it goes: nothing that works on.

use super::*;
use crate::issuer::Upserted;

/// The tasks of this test's runtime.
fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[tokio::test]
async fn an_issuer_that_is_removed_leaves_no_task() {
    let house = House::new();
    let (a, b) = (house.key("a.pem"), house.key("b.pem"));
    let issuers = house.start(vec![house.issuer(A, "a.pem")]);
    house.until_kids(A, &[&a]).await;
    // The first time starts what all issuers have in common.
    for round in 0..3 {
        let before = tasks();
        assert_eq!(issuers.upsert(house.issuer(B, "b.pem")).await, Upserted::Added);
        house.until_kids(B, &[&b]).await;
        assert!(issuers.remove(&IssuerUrl::parse(B).unwrap()).await);
        if round > 0 {
            house.until("its tasks have ended", || tasks() <= before).await;
        }
    }
}

#[tokio::test]
async fn an_issuer_that_is_changed_leaves_no_task_more() {
    let house = House::new();
    let a = house.key("a.pem");
    let issuers = house.start(vec![house.issuer(A, "a.pem")]);
    house.until_kids(A, &[&a]).await;
    let reads = house.reads();
    house.until("it rests", || house.reads() >= reads).await;
    let before = tasks();
    for seconds in 1..=5 {
        let mut settings = house.issuer(A, "a.pem");
        settings.profile.jwks_cache.max_age += SignedDuration::from_secs(seconds);
        assert_eq!(issuers.upsert(settings).await, Upserted::Changed);
        house.until_kids(A, &[&a]).await;
    }
    house
        .until("the tasks of before have ended", || tasks() <= before)
        .await;
}

#[tokio::test]
async fn an_issuer_with_a_shared_store_that_comes_back_is_published_again() {
    let mut house = House::new();
    house.shared.stores = Stores::shared_in_memory(A);
    let a = house.key("a.pem");
    let issuers = house.start(vec![house.issuer(A, "a.pem")]);
    for _ in 0..3 {
        house.until_kids(A, &[&a]).await;
        // It is followed by now: nobody else can have its store.
        let followed = || {
            house
                .shared
                .stores
                .replica(A)
                .state()
                .shared
                .is_some_and(|shared| shared.writes > 0)
        };
        house.until("its ledger is in the shared store", followed).await;
        assert!(issuers.remove(&IssuerUrl::parse(A).unwrap()).await);
        assert_eq!(house.published(A).map(|_| ()), Err(()));
        assert_eq!(issuers.upsert(house.issuer(A, "a.pem")).await, Upserted::Added);
    }
    house.until_kids(A, &[&a]).await;
}
