mod server;

use std::sync::atomic::{AtomicUsize, Ordering};

use http::HeaderMap;
use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::client::fetch::{bearer, below};
use server::{Does, Server};

/// More than any step of a test takes.
const LONG: Duration = Duration::from_secs(20);

fn target(server: &Server) -> Target {
    Target {
        base: format!("http://{}", server.address).parse().unwrap(),
        roots: Roots::System(SystemRoots),
        server_name: None,
        identity: None,
        headers: HeaderMap::new(),
        proxy: Proxy::None,
        timeout: LONG,
    }
}

/// Asks for a path, and tells which path was answered.
async fn get(connections: &Connections, target: &Target, path: &str) -> Result<String, Cause> {
    let url = below(&target.base, path);
    let reply = connections.send(target, Method::GET, &url, None).await?;
    Ok(String::from_utf8(reply.body.to_vec()).unwrap())
}

async fn assert_answered(connections: &Connections, target: &Target, path: &str) {
    assert_eq!(get(connections, target, path).await.unwrap(), path);
}

#[tokio::test]
async fn many_requests_one_after_the_other_use_one_connection() {
    let server = Server::start(|_, _| Does::Answers).await;
    let (connections, target) = (Connections::default(), target(&server));
    for number in 0..200 {
        assert_answered(&connections, &target, &format!("/{number}")).await;
    }
    assert_eq!(server.opened(), 1);
    assert_eq!(format!("{connections:?}"), "Connections(1 idle)");
}

#[tokio::test]
async fn requests_at_once_share_few_connections() {
    let (ca, config) = authority();
    let server = Server::over(Some(config), |_, _| Does::Answers).await;
    let connections = Connections::new(LONG);
    let target = Target {
        base: format!("https://{}", server.address).parse().unwrap(),
        roots: Roots::pinned(ca.as_bytes()).unwrap(),
        ..target(&server)
    };
    let asked: Vec<_> = (0..1000)
        .map(|number| {
            let (connections, target) = (connections.clone(), target.clone());
            tokio::spawn(async move { get(&connections, &target, &format!("/{number}")).await })
        })
        .collect();
    for (number, asked) in asked.into_iter().enumerate() {
        assert_eq!(asked.await.unwrap().unwrap(), format!("/{number}"));
    }
    assert!(server.opened() <= FEW, "{} connections", server.opened());
}

#[tokio::test]
async fn a_server_that_closes_after_each_answer_costs_no_request() {
    for does in [Does::AnswersAndCloses, Does::AnswersTheLast] {
        let server = Server::start(move |_, _| does).await;
        let (connections, target) = (Connections::default(), target(&server));
        for number in 0..50 {
            assert_answered(&connections, &target, &format!("/{number}")).await;
        }
        assert_eq!(server.opened(), 50, "{does:?}");
    }
}

#[tokio::test]
async fn a_request_that_a_reused_connection_interrupts_is_sent_once_more_over_a_new_one() {
    for does in [Does::Closes, Does::Tears] {
        // The second request of the first connection meets it, …
        let server = Server::start(move |connection, request| match (connection, request) {
            (0, 1) => does,
            _ => Does::Answers,
        })
        .await;
        let (connections, target) = (Connections::default(), target(&server));
        for path in ["/1", "/2", "/3"] {
            assert_answered(&connections, &target, path).await;
        }
        assert_eq!((server.opened(), server.heads().len()), (2, 4), "{does:?}");

        // … and here also the one that comes after it.
        let server = Server::start(move |connection, request| match (connection, request) {
            (0, 1) | (1, 0) => does,
            _ => Does::Answers,
        })
        .await;
        let target = super::tests::target(&server);
        assert_answered(&connections, &target, "/1").await;
        let error = get(&connections, &target, "/2").await.unwrap_err();
        assert!(matches!(error, Cause::Interrupted { .. }), "{error:?}");
        assert_eq!(server.opened(), 2, "{does:?}");
        assert_answered(&connections, &target, "/3").await;
    }
}

#[tokio::test]
async fn a_request_that_a_new_connection_interrupts_is_not_repeated() {
    let server = Server::start(|_, _| Does::Closes).await;
    let error = get(&Connections::default(), &target(&server), "/")
        .await
        .unwrap_err();
    assert!(matches!(error, Cause::Interrupted { .. }), "{error:?}");
    assert_eq!((server.opened(), server.heads().len()), (1, 1));
}

#[tokio::test]
async fn a_hung_server_costs_one_request_its_time_and_not_one_for_each_idle_connection() {
    hang(false).await;
}

#[tokio::test]
async fn one_that_was_not_waited_for_to_the_end_does_not_either() {
    hang(true).await;
}

async fn hang(is_dropped: bool) {
    const KEPT: usize = 4;
    // All that were opened first hang from their second request on.
    let server = Server::start(|connection, request| {
        if connection < KEPT && request > 0 {
            Does::Hangs
        } else {
            Does::Answers
        }
    })
    .await;
    let (connections, mut target) = (Connections::default(), target(&server));
    let way = Way::of(&target);
    let mut first = Vec::new();
    for _ in 0..KEPT {
        assert_answered(&connections, &target, "/first").await;
        first.extend(connections.idle(&way));
    }
    for connection in first {
        connections.keep(way.clone(), connection).await;
    }
    assert_eq!((server.opened(), connections.alive().len()), (KEPT, KEPT));

    target.timeout = if is_dropped {
        LONG
    } else {
        Duration::from_millis(200)
    };
    let asked = get(&connections, &target, "/hangs");
    if is_dropped {
        server.asked(KEPT + 1, asked).await;
    } else {
        let error = asked.await.unwrap_err();
        assert!(matches!(error, Cause::Timeout { .. }), "{error:?}");
    }
    target.timeout = LONG;
    assert_answered(&connections, &target, "/next").await;
    assert_eq!((server.opened(), connections.alive().len()), (KEPT + 1, 1));
}

#[tokio::test]
async fn nobody_waits_long_for_those_that_a_hung_server_holds() {
    let server = Server::start(|connection, _| {
        if connection < FEW {
            Does::Hangs
        } else {
            Does::Answers
        }
    })
    .await;
    let (connections, target) = (Connections::new(Duration::from_millis(50)), target(&server));
    let hung: Vec<_> = (0..FEW)
        .map(|_| {
            let (connections, target) = (connections.clone(), target.clone());
            AbortOnDropHandle::new(tokio::spawn(
                async move { get(&connections, &target, "/hangs").await },
            ))
        })
        .collect();
    server.asked(FEW, std::future::pending::<()>()).await;
    assert_answered(&connections, &target, "/1").await;
    assert_eq!(connections.0.turns.available_permits(), 0);
    drop(hung);
    assert_answered(&connections, &target, "/2").await;
    assert_eq!(server.opened(), FEW + 1);
}

#[tokio::test]
async fn a_connection_is_not_used_again_after_anything_but_a_whole_answer() {
    for does in [Does::Refuses, Does::AnswersTwice, Does::AnswersTooSoon] {
        let server =
            Server::start(move |connection, _| if connection == 0 { does } else { Does::Answers }).await;
        let (connections, target) = (Connections::default(), target(&server));
        let url = below(&target.base, "/1");
        // More than fits into the buffers on the way.
        let large = Bytes::from(vec![b' '; 64 << 20]);
        let body = (does == Does::AnswersTooSoon).then_some(large);
        let _ = connections.send(&target, Method::PUT, &url, body).await;
        assert_eq!(connections.alive().len(), 0, "{does:?}");
        assert_answered(&connections, &target, "/2").await;
        assert_eq!(server.opened(), 2, "{does:?}");
    }
}

#[tokio::test]
async fn a_request_that_is_dropped_half_way_takes_its_connection_with_it() {
    let server = Server::start(|_, request| match request {
        1 => Does::Hangs,
        _ => Does::Answers,
    })
    .await;
    let (connections, target) = (Connections::default(), target(&server));
    assert_answered(&connections, &target, "/1").await;
    server.asked(2, get(&connections, &target, "/2")).await;
    assert_eq!(connections.alive().len(), 0);
    assert_answered(&connections, &target, "/3").await;
    assert_eq!(server.opened(), 2);
}

#[tokio::test]
async fn a_connection_is_used_for_a_minute() {
    let server = Server::start(|_, _| Does::Answers).await;
    let (connections, target) = (Connections::default(), target(&server));
    for (after, opened) in [(0, 1), (50, 1), (15, 2), (50, 2)] {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(after)).await;
        tokio::time::resume();
        assert_answered(&connections, &target, "/").await;
        assert_eq!(server.opened(), opened, "{after} s later");
    }
}

#[tokio::test]
async fn a_token_is_that_of_the_request() {
    let server = Server::start(|_, _| Does::Answers).await;
    let (connections, mut target) = (Connections::default(), target(&server));
    for token in ["old", "new"] {
        target.headers = HeaderMap::from_iter(bearer(token));
        assert_answered(&connections, &target, "/").await;
    }
    let heads = server.heads();
    assert!(
        heads[0].contains("Bearer old") && heads[1].contains("Bearer new"),
        "{heads:?}"
    );
    assert_eq!(server.opened(), 1);
}

/// A CA in PEM, and a server that has its certificate from it.
fn authority() -> (String, Arc<ServerConfig>) {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let leaf = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &ca)
        .unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        );
    (ca.pem(), Arc::new(config.unwrap()))
}

fn identity() -> Arc<Identity> {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([]).unwrap().self_signed(&key).unwrap();
    let identity = Identity::new(certificate.pem().as_bytes(), key.serialize_pem().as_bytes());
    Arc::new(identity.unwrap())
}

#[tokio::test]
async fn another_ca_name_or_certificate_of_ours_never_meets_an_old_connection() {
    let (ca, config) = authority();
    let (other, _) = authority();
    let server = Server::over(Some(config), |_, _| Does::Answers).await;
    let connections = Connections::default();
    let roots = |pem: &str| Roots::pinned(pem.as_bytes()).unwrap();
    let mut target = Target {
        base: format!("https://{}", server.address).parse().unwrap(),
        roots: roots(&ca),
        ..target(&server)
    };
    assert_answered(&connections, &target, "/1").await;
    // The file was read anew, and says the same.
    target.roots = roots(&ca);
    assert_answered(&connections, &target, "/2").await;
    assert_eq!(server.opened(), 1);

    target.roots = roots(&format!("{ca}{other}"));
    assert_answered(&connections, &target, "/3").await;
    assert_eq!(server.opened(), 2);
    target.roots = roots(&other);
    let error = get(&connections, &target, "/4").await.unwrap_err();
    assert_eq!(error, Cause::UnknownCa, "the old connections are still there");
    assert_eq!(connections.alive().len(), 2);

    target.roots = roots(&ca);
    target.server_name = Some("localhost".into());
    assert_answered(&connections, &target, "/5").await;
    target.identity = Some(identity());
    assert_answered(&connections, &target, "/6").await;
    target.identity = Some(identity());
    assert_answered(&connections, &target, "/7").await;
    assert_eq!(server.opened(), 6, "with the one that was refused");
}

#[tokio::test]
async fn a_new_connection_resumes_only_what_was_agreed_with_the_same_cas_and_the_same_certificate() {
    let (ca, config) = authority();
    let (other, _) = authority();
    let server = Server::over(Some(config), |_, _| Does::Answers).await;
    let roots = |pem: &str| Roots::pinned(pem.as_bytes()).unwrap();
    let mut target = Target {
        base: format!("https://{}", server.address).parse().unwrap(),
        roots: roots(&ca),
        ..target(&server)
    };
    let read = async |target: &Target| {
        let url = target.base.join("/keys").unwrap();
        Session::open(target).await?.get(&url).await
    };
    read(&target).await.unwrap();
    assert_eq!(server.resumed(), 0);
    // The file was read anew, and says the same.
    target.roots = roots(&ca);
    read(&target).await.unwrap();
    assert_eq!(
        (server.opened(), server.resumed()),
        (2, 1),
        "a connection of its own"
    );

    target.roots = roots(&format!("{ca}{other}"));
    read(&target).await.unwrap();
    assert_eq!(server.resumed(), 1, "other CAs");
    target.roots = roots(&other);
    let refused = read(&target).await.err();
    assert_eq!(
        refused,
        Some(Cause::UnknownCa),
        "what was agreed before does not help"
    );

    target.roots = roots(&ca);
    for _ in 0..2 {
        target.identity = Some(identity());
        read(&target).await.unwrap();
        assert_eq!(server.resumed(), 1, "another certificate of ours");
    }
    read(&target).await.unwrap();
    assert_eq!(server.resumed(), 2);
}

#[test]
fn a_way_is_the_same_only_if_all_of_it_is() {
    let system = SystemRoots;
    let same = || Way {
        base: "https://10.96.0.1/".parse().unwrap(),
        roots: Roots::System(system.clone()),
        server_name: None,
        identity: None,
        proxy: Proxy::Environment,
    };
    assert!(same() == same());
    let changes: [fn(&mut Way); 6] = [
        |way| way.base = "https://10.96.0.2/".parse().unwrap(),
        |way| way.base = "https://10.96.0.1/k8s/clusters/c-1".parse().unwrap(),
        |way| way.roots = Roots::pinned(authority().0.as_bytes()).unwrap(),
        |way| way.server_name = Some("kubernetes".into()),
        |way| way.identity = Some(identity()),
        |way| way.proxy = Proxy::None,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut other = same();
        change(&mut other);
        assert!(other != same(), "change {number}");
    }
}

/// Faults come often, and a hang costs a test its time.
fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        6 => Just(Does::Answers),
        1 => Just(Does::AnswersAndCloses),
        1 => Just(Does::AnswersTheLast),
        1 => Just(Does::AnswersTwice),
        1 => Just(Does::Tears),
        1 => Just(Does::Closes),
        1 => Just(Does::Refuses),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn an_answer_is_never_given_to_another_request(
        script in proptest::collection::vec(does(), 1..40),
        // How often each of the requests at once is polled before it is dropped; `None`: until it ends.
        patience in proptest::collection::vec(proptest::option::weighted(0.3, 0..40_usize), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let count = AtomicUsize::new(0);
            let server = Server::start(move |_, _| {
                script[count.fetch_add(1, Ordering::SeqCst) % script.len()]
            }).await;
            let (connections, target) = (Connections::default(), target(&server));
            let asked: Vec<_> = patience.into_iter().enumerate().map(|(number, patience)| {
                let (connections, target) = (connections.clone(), target.clone());
                tokio::spawn(async move {
                    for round in 0..4 {
                        let path = format!("/{number}/{round}");
                        let mut asked = Box::pin(get(&connections, &target, &path));
                        let mut polls = 0;
                        let answered = std::future::poll_fn(|context| {
                            polls += 1;
                            if patience.is_some_and(|patience| polls > patience) {
                                return std::task::Poll::Ready(None);
                            }
                            asked.as_mut().poll(context).map(Some)
                        }).await;
                        if let Some(Ok(answered)) = answered {
                            assert_eq!(answered, path);
                        }
                    }
                })
            }).collect();
            for asked in asked {
                asked.await.unwrap();
            }
            assert!(connections.alive().len() <= FEW);
        });
    }
}
