//! A server that answers each request with its own path, and then does as it is told.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What is done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    /// Answers it.
    Answers,
    /// Answers it, and closes the connection without a word of it.
    AnswersAndCloses,
    /// Answers it, and says that it closes the connection.
    AnswersTheLast,
    /// Answers it, and sends an answer that nobody asked for behind it.
    AnswersTwice,
    /// Answers it before it has read all of it.
    AnswersTooSoon,
    /// Sends half of the answer, and closes the connection.
    Tears,
    /// Reads it, and closes the connection.
    Closes,
    /// Reads it, and says nothing.
    Hangs,
    /// Says no.
    Refuses,
}

/// Tells what is done: by the number of the connection, and of the request on it, both from 0.
type Script = dyn Fn(usize, usize) -> Does + Send + Sync;

/// What was seen of the server.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// Connections that were opened.
    opened: Arc<AtomicUsize>,
    /// Those of them that resumed what was agreed over an earlier one.
    resumed: Arc<AtomicUsize>,
    /// The heads of the requests that came.
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) async fn start(script: impl Fn(usize, usize) -> Does + Send + Sync + 'static) -> Self {
        Self::over(None, script).await
    }

    pub(super) async fn over(
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(usize, usize) -> Does + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (opened, heads) = (Arc::new(AtomicUsize::new(0)), Arc::default());
        let resumed = Arc::new(AtomicUsize::new(0));
        let server = Self {
            address,
            opened: Arc::clone(&opened),
            resumed: Arc::clone(&resumed),
            heads: Arc::clone(&heads),
        };
        let script: Arc<Script> = Arc::new(script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = opened.fetch_add(1, Ordering::SeqCst);
                let (script, heads, tls) = (Arc::clone(&script), Arc::clone(&heads), tls.clone());
                let resumed = Arc::clone(&resumed);
                tokio::spawn(async move {
                    let does = |request| script(number, request);
                    match tls {
                        None => serve(stream, does, &heads).await,
                        Some(tls) => {
                            let stream = TlsAcceptor::from(tls).accept(stream).await?;
                            if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
                                resumed.fetch_add(1, Ordering::SeqCst);
                            }
                            serve(stream, does, &heads).await
                        }
                    }
                });
            }
        });
        server
    }

    pub(super) fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    pub(super) fn resumed(&self) -> usize {
        self.resumed.load(Ordering::SeqCst)
    }

    /// Drops what asks, once so many requests have come.
    pub(super) async fn asked(&self, requests: usize, asks: impl Future) {
        let come = async {
            while self.heads().len() < requests {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            _ = asks => panic!("it was answered"),
            come = tokio::time::timeout(super::LONG, come) => come.expect("requests"),
        }
    }

    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn answer(to: &str, headers: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n{to}",
        to.len()
    )
    .into_bytes()
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    does: impl Fn(usize) -> Does,
    heads: &Mutex<Vec<String>>,
) -> io::Result<()> {
    for request in 0.. {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        heads.lock().unwrap().push(head.clone());
        let path = head.split(' ').nth(1).unwrap();
        let does = does(request);
        if does != Does::AnswersTooSoon {
            read_body(&mut stream, &head).await?;
        }
        match does {
            Does::Answers | Does::AnswersTooSoon => stream.write_all(&answer(path, "")).await?,
            Does::AnswersTwice => {
                let both = [answer(path, ""), answer("unasked", "")].concat();
                stream.write_all(&both).await?;
            }
            Does::AnswersAndCloses => {
                stream.write_all(&answer(path, "")).await?;
                return stream.shutdown().await;
            }
            Does::AnswersTheLast => {
                stream.write_all(&answer(path, "connection: close\r\n")).await?;
                return stream.shutdown().await;
            }
            Does::Tears => {
                let answer = answer(path, "");
                stream.write_all(&answer[..answer.len() - 2]).await?;
                return Ok(());
            }
            Does::Closes => return Ok(()),
            Does::Hangs => {
                stream.read_u8().await?;
            }
            Does::Refuses => {
                let refusal = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(refusal).await?;
            }
        }
        stream.flush().await?;
        if does == Does::AnswersTooSoon {
            std::future::pending::<()>().await;
        }
    }
    Ok(())
}

async fn read_body(stream: &mut (impl AsyncRead + Unpin), head: &str) -> io::Result<()> {
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.trim().parse().unwrap());
    stream.read_exact(&mut vec![0; length]).await.map(drop)
}
