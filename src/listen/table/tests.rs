//! Which connection gives way, and which does not.

use std::time::Duration;

use tokio::time::{Instant, advance};

use super::*;

fn table(total: usize) -> Table {
    Table::new(Places::of(total))
}

/// The address of a client.
fn peer(client: u8) -> SocketAddr {
    ([192, 0, 2, client], 40_000).into()
}

fn take(table: &Table, client: u8) -> Place {
    table.try_place(Some(peer(client))).expect("a place")
}

#[tokio::test(start_paused = true)]
async fn below_nine_tenths_nobody_gives_way() {
    let table = table(20);
    let places: Vec<_> = (0..17).map(|_| take(&table, 1)).collect();
    advance(Duration::from_mins(1)).await;
    assert!(places.iter().all(|place| !place.is_lost()));
}

#[tokio::test(start_paused = true)]
async fn at_nine_tenths_the_longest_idle_connection_of_the_address_that_has_most_gives_way() {
    let table = table(20);
    let first_of_another = take(&table, 2);
    advance(Duration::from_millis(1)).await;
    let mut many = Vec::new();
    for _ in 0..16 {
        many.push(take(&table, 1));
        advance(Duration::from_millis(1)).await;
    }
    // This one has done something since.
    drop(many[0].activity().answering());
    advance(IDLE).await;
    let _new = take(&table, 3);
    let lost: Vec<_> = many
        .iter()
        .enumerate()
        .filter(|(_, place)| place.is_lost())
        .map(|(at, _)| at)
        .collect();
    assert_eq!(lost, [1]);
    assert!(!first_of_another.is_lost());
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_request_is_being_answered_does_not_give_way() {
    let table = table(2);
    let busy = [take(&table, 1), take(&table, 1)];
    let answering: Vec<_> = busy.iter().map(|place| place.activity().answering()).collect();
    advance(Duration::from_mins(1)).await;
    assert_eq!(table.try_place(Some(peer(2))).unwrap_err(), Refusal::Full);
    drop(answering);
    advance(IDLE).await;
    let _new = take(&table, 2);
    assert_eq!(busy.iter().filter(|place| place.is_lost()).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_served_within_two_seconds_and_those_after_at_once_more() {
    let table = table(50);
    let began = Instant::now();
    let mut places = Vec::new();
    // As many silent connections as the kernel may hold, and one that asks.
    for _ in 0..200 {
        places.push(table.place(Some(peer(1))).await.unwrap());
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let asks = table.place(Some(peer(2))).await.unwrap();
    assert!(
        began.elapsed() < Duration::from_millis(2500),
        "{:?}",
        began.elapsed()
    );
    // However many of one address come, the other keeps its place.
    for _ in 0..500 {
        places.push(table.place(Some(peer(1))).await.unwrap());
    }
    assert!(!asks.is_lost());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_active_a_moment_ago_is_waited_for() {
    let table = table(1);
    let _active = take(&table, 1);
    let waited = Instant::now();
    let _new = table.place(Some(peer(1))).await.unwrap();
    assert!(waited.elapsed() >= WAITED, "{:?}", waited.elapsed());
}

#[tokio::test(start_paused = true)]
async fn those_with_a_certificate_give_way_last() {
    let table = table(10);
    let trusted: Vec<_> = (0..8).map(|_| take(&table, 1)).collect();
    trusted.iter().for_each(Place::trust);
    advance(Duration::from_millis(1)).await;
    let stranger = take(&table, 2);
    advance(IDLE).await;
    let new = take(&table, 3);
    assert!(stranger.is_lost() && trusted.iter().all(|place| !place.is_lost()));
    drop(new);
    let _newer = take(&table, 3);
    assert_eq!(trusted.iter().filter(|place| place.is_lost()).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_address_has_at_most_as_many_as_it_may() {
    let table = Table::new(Places {
        per_address: Some(2),
        ..Places::of(100)
    });
    let two = [take(&table, 1), take(&table, 1)];
    assert_eq!(table.try_place(Some(peer(1))).unwrap_err(), Refusal::Address);
    let _other = take(&table, 2);
    drop(two);
    let _again = take(&table, 1);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_give_way_before_all_take_more_memory_than_there_is() {
    let table = Table::new(Places {
        memory: Some(10 * Cost::Idle.bytes()),
        ..Places::of(1000)
    });
    let mut places: Vec<Place> = Vec::new();
    for _ in 0..12 {
        places.push(take(&table, 1));
        advance(Duration::from_millis(1)).await;
    }
    let lost = |places: &[Place]| places.iter().filter(|place| place.is_lost()).count();
    assert_eq!(lost(&places), 2);
    // One that begins to take more costs others their places.
    places[11].costs(Cost::Http2);
    assert_eq!((lost(&places), places[11].is_lost()), (5, false));
    // What is closed takes nothing, and a connection that has no place any more counts no more.
    places[0].costs(Cost::Active);
    places.clear();
    assert_eq!(table.0.memory.load(Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn with_many_clients_of_one_connection_each_the_longest_idle_gives_way() {
    let table = table(100);
    let mut places = Vec::new();
    for client in 0..89 {
        places.push(take(&table, client));
        advance(Duration::from_millis(1)).await;
    }
    advance(IDLE).await;
    let _new: Vec<_> = (100..110).map(|client| take(&table, client)).collect();
    let lost: Vec<_> = places.iter().map(Place::is_lost).collect();
    assert_eq!(lost.iter().filter(|lost| **lost).count(), 10);
    assert!(lost[..10].iter().all(|lost| *lost));
}

#[tokio::test(start_paused = true)]
async fn idle_connections_of_others_give_way_where_those_of_the_address_that_has_most_are_active() {
    let table = table(20);
    let balancer: Vec<_> = (0..12).map(|_| take(&table, 1)).collect();
    let idle: Vec<_> = (0..6).map(|_| take(&table, 2)).collect();
    advance(IDLE).await;
    for place in &balancer {
        drop(place.activity().answering());
    }
    let _new = take(&table, 1);
    assert_eq!(idle.iter().filter(|place| place.is_lost()).count(), 1);
    assert!(balancer.iter().all(|place| !place.is_lost()));
}

#[tokio::test(start_paused = true)]
async fn the_task_of_a_connection_that_lost_its_place_ends_whatever_it_waits_for() {
    let table = table(1);
    let place = take(&table, 1);
    table.spawn(place.hold(|place| async move {
        std::future::pending::<()>().await;
        drop(place);
    }));
    advance(IDLE).await;
    let _new = take(&table, 1);
    timeout(Duration::from_secs(1), table.ended()).await.unwrap();
}
