//! A TCP balancer in front of servers, which a test turns to others or cuts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// One address; each new connection goes to the next target, and on to another if that one does not answer.
#[derive(Debug)]
pub(crate) struct Wire {
    port: u16,
    targets: watch::Sender<Targets>,
    accepting: JoinHandle<()>,
}

/// Where connections go.
#[derive(Clone, Debug)]
enum Targets {
    To(Vec<String>),
    /// They stay open, and nothing is answered.
    Nowhere,
}

impl Wire {
    /// Opens one to these targets, each `ADDRESS:PORT`.
    pub(crate) async fn to(targets: &[String]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound listener").port();
        let (targets, follows) = watch::channel(Targets::To(targets.to_vec()));
        Self {
            port,
            targets,
            accepting: tokio::spawn(accept(listener, follows)),
        }
    }

    /// Its address, for a kubeconfig.
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Breaks all connections; new ones go to these.
    pub(crate) fn turn_to(&self, targets: &[String]) {
        self.targets.send_replace(Targets::To(targets.to_vec()));
    }

    /// Breaks all connections; new ones are closed at once.
    pub(crate) fn cut(&self) {
        self.turn_to(&[]);
    }

    /// Breaks all connections; new ones are never answered.
    pub(crate) fn swallow(&self) {
        self.targets.send_replace(Targets::Nowhere);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, targets: watch::Receiver<Targets>) {
    let turn = Arc::new(AtomicUsize::new(0));
    while let Ok((client, _)) = listener.accept().await {
        let (mut targets, turn) = (targets.clone(), Arc::clone(&turn));
        tokio::spawn(async move {
            let now = targets.borrow_and_update().clone();
            tokio::select! {
                () = carry(client, &now, turn.fetch_add(1, Ordering::Relaxed)) => {}
                _ = targets.changed() => {}
            }
        });
    }
}

async fn carry(mut client: TcpStream, targets: &Targets, turn: usize) {
    let Targets::To(targets) = targets else {
        while client.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
        return;
    };
    for step in 0..targets.len() {
        let target = &targets[(turn + step) % targets.len()];
        if let Ok(mut server) = TcpStream::connect(target).await {
            copy_bidirectional(&mut client, &mut server).await.ok();
            return;
        }
    }
}
