//! The load that no usual tool makes: a new TLS connection for each request, never resumed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

/// `connections ADDRESS CA SECONDS THREADS`: prints how many requests were answered.
fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .filter_map(|argument| argument.into_string().ok())
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let [address, ca, seconds, threads] = &arguments[..] else {
        println!("benches/serve/run starts this");
        return Ok(());
    };
    let address: SocketAddr = address.parse()?;
    let config = Arc::new(client(ca.into())?);
    let answered = Arc::new(AtomicU64::new(0));
    let until = Instant::now() + Duration::from_secs(seconds.parse()?);
    let threads: Vec<_> = (0..threads.parse::<usize>()?)
        .map(|_| {
            let (config, answered) = (config.clone(), answered.clone());
            std::thread::spawn(move || -> anyhow::Result<()> {
                while Instant::now() < until {
                    ask(address, &config)?;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        })
        .collect();
    for thread in threads {
        thread.join().ok().context("a thread panicked")??;
    }
    println!("{}", answered.load(Ordering::Relaxed));
    Ok(())
}

/// X25519, which every server here has: the post-quantum group would compare libraries, not servers.
fn client(ca: PathBuf) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn ask(address: SocketAddr, config: &Arc<ClientConfig>) -> anyhow::Result<()> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let mut connection = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
    let mut stream = Stream::new(&mut connection, &mut socket);
    stream.write_all(b"GET /jwks HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut read = Vec::new();
    let mut buffer = [0; 8192];
    while !read.ends_with(b"}]}") {
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0, "the connection ended within a response");
        read.extend_from_slice(&buffer[..count]);
    }
    ensure!(
        read.starts_with(b"HTTP/1.1 200 OK\r\n"),
        "another answer than 200"
    );
    stream.conn.send_close_notify();
    stream.conn.complete_io(stream.sock).ok();
    Ok(())
}
