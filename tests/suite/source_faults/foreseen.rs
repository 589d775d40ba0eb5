//! `inspect` refuses what `serve` refuses.

use super::server::{Reply, ok};
use super::world::{ISSUER, World, discovery};
use crate::real::service::{Output, run};

async fn inspect(world: &World, more: &[&str]) -> Output {
    let kubeconfig = world.path("kubeconfig").display().to_string();
    let arguments = ["inspect", "--kubeconfig", &kubeconfig, "--issuer", ISSUER];
    let arguments: Vec<String> = arguments.iter().chain(more).map(ToString::to_string).collect();
    // Beside the server, which is of this test.
    let run = move || run(&arguments);
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

#[tokio::test]
async fn inspect_ends_with_1_where_the_cluster_names_an_issuer_that_serve_would_refuse() {
    let world = World::new().await;
    assert_eq!(inspect(&world, &[]).await.code, Some(0));
    let other = "https://kubernetes.default.svc.cluster.local";
    world.serve(|behaviour| behaviour.discovery = Reply::Whole(ok(discovery(other))));
    let refused = inspect(&world, &[]).await;
    assert_eq!(refused.code, Some(1));
    let said = refused.stdout + &refused.stderr;
    assert!(
        said.contains("names another issuer") && said.contains(other),
        "{said}"
    );
    let accepted = inspect(&world, &["--source-claims", other]).await;
    assert_eq!(accepted.code, Some(0), "{}", accepted.stderr);
}
