//! What issuers share, and what an interrupted write comes to.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Stands before an API server, and counts.
#[derive(Default)]
struct Gate {
    opened: AtomicUsize,
    /// The next answer is lost, with its connection.
    loses: AtomicBool,
}

impl Gate {
    async fn before(api: &Api) -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let api = api.address.trim_start_matches("http://").to_owned();
        let gate = Arc::new(Self::default());
        let counted = Arc::clone(&gate);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counted.opened.fetch_add(1, Ordering::SeqCst);
                let (gate, server) = (Arc::clone(&counted), TcpStream::connect(&api).await.unwrap());
                tokio::spawn(async move { gate.pass(client, server).await });
            }
        });
        (gate, address)
    }

    async fn pass(&self, client: TcpStream, server: TcpStream) -> std::io::Result<()> {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let requests = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        let mut answer = [0; 4096];
        loop {
            let length = from_server.read(&mut answer).await?;
            if length == 0 || self.loses.swap(false, Ordering::SeqCst) {
                requests.abort();
                return Ok(());
            }
            to_client.write_all(&answer[..length]).await?;
        }
    }
}

fn ledger(settings: &KubernetesSettings, issuer: usize, connections: &Connections) -> ConfigMap {
    let issuer = format!("https://{issuer}.example");
    ConfigMap::new(settings, &issuer, connections.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_issuers_share_few_connections() {
    const ISSUERS: usize = 100;
    const READS: usize = 20;
    let (api, _) = Api::start().await;
    let (gate, address) = Gate::before(&api).await;
    // Never impatient: how fast this machine is does not count.
    let patience = std::time::Duration::from_mins(5);
    let (settings, connections) = (settings(&address), Connections::new(patience));
    let issuers: Vec<_> = (0..ISSUERS)
        .map(|issuer| {
            let mut object = ledger(&settings, issuer, &connections);
            tokio::spawn(async move {
                let octets = Bytes::from(format!("the ledger of {issuer}"));
                stored(&mut object).await;
                object.save(octets.clone(), &Version::Absent, None).await.unwrap();
                for _ in 0..READS {
                    // As replicas do, not all in step.
                    tokio::time::sleep(std::time::Duration::from_millis(100 + issuer as u64)).await;
                    assert_eq!(bytes(&stored(&mut object).await), Some(octets.clone()));
                }
            })
        })
        .collect();
    for issuer in issuers {
        issuer.await.unwrap();
    }
    let opened = gate.opened.load(Ordering::SeqCst);
    println!(
        "{ISSUERS} issuers, {} requests: {opened} connections",
        ISSUERS * (READS + 2)
    );
    // 16, and one for each that was given up because a busy machine kept it waiting.
    assert!(opened < ISSUERS / 2, "{opened} connections");
    assert_eq!(api.objects().len(), ISSUERS);
}

#[tokio::test]
async fn a_write_that_was_done_before_its_answer_was_lost_is_a_lost_race() {
    let (api, _) = Api::start().await;
    let (gate, address) = Gate::before(&api).await;
    let mut object = ledger(&settings(&address), 0, &Connections::default());
    stored(&mut object).await;

    // The second time, the name is there.
    gate.loses.store(true, Ordering::SeqCst);
    let lost = object.save(octets("one"), &Version::Absent, None).await;
    assert!(matches!(lost, Err(SaveError::Lost)), "{lost:?}");
    let read = stored(&mut object).await;
    assert_eq!(bytes(&read), Some(octets("one")), "it was written");

    // The second time, another version is there.
    gate.loses.store(true, Ordering::SeqCst);
    let lost = object
        .save(octets("two"), &read.version, Some(octets("one")))
        .await;
    assert!(matches!(lost, Err(SaveError::Lost)), "{lost:?}");
    let read = stored(&mut object).await;
    assert_eq!(bytes(&read), Some(octets("two")), "it was written, once");
    assert_eq!(
        object.previous().map(|content| content.bytes),
        Some(octets("one"))
    );
    assert_eq!(
        gate.opened.load(Ordering::SeqCst),
        3,
        "one, and one for each that was lost"
    );
}
