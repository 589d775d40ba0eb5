//! Asks the control endpoint of a running service: one request, one answer.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;

use super::super::health;
use super::way::Address;
use crate::control::{Failed, Report, Request, Verb, reachable};
use crate::display;
use crate::metrics::VERSION;
use crate::{certificate, fs, pem};

const CONNECTS_WITHIN: Duration = Duration::from_secs(5);

/// Longer than the service lets a command take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(40);

/// A hundred keys and all that is remembered of others are far less.
const MAX_ANSWER: u64 = 16 << 20;

type Answer = anyhow::Result<Result<Report, Failed>>;

/// Asks over the socket in the state folder.
pub(super) fn ask_socket(path: &Path, verb: Verb, request: &Request) -> Answer {
    let stream = connect_socket(path, CONNECTS_WITHIN).map_err(|error| no_socket(path, &error))?;
    stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
    stream.set_write_timeout(Some(ANSWERS_WITHIN))?;
    exchange(stream, "localhost", verb, request)
        .with_context(|| format!("the service at {}", display::path(path)))
}

/// Gives up after a while: where a process takes no connections and the queue of its socket is full, the system waits
/// for ever.
fn connect_socket(path: &Path, within: Duration) -> io::Result<UnixStream> {
    let address = reachable(path)?;
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(UnixStream::connect(address.path())));
    let connected = told.recv_timeout(within);
    connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn no_socket(path: &Path, error: &io::Error) -> anyhow::Error {
    let is_socket = path.metadata().map_or(true, |file| file.file_type().is_socket());
    let path = display::path(path);
    match error.kind() {
        io::ErrorKind::NotFound => anyhow!(
            "there is no {path}: no service runs with this state folder. Name that of the running one with --state-dir, \
             its configuration with --config, or its control listener with --control; while none runs, add --store"
        ),
        io::ErrorKind::ConnectionRefused if !is_socket => anyhow!(
            "{path} is no socket, so no service can be reached by it. Move it away: a service that runs makes its socket \
             again; while none runs, add --store"
        ),
        io::ErrorKind::ConnectionRefused => anyhow!(
            "nobody listens on {path}: the service that made it was killed. Start it again, or add --store"
        ),
        io::ErrorKind::PermissionDenied => {
            anyhow!("{path} is for the user that the service runs as, and for root: run this as one of them")
        }
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => anyhow!(
            "{path} takes no connections: the service that made it hangs, or is stopped. Ask its /livez (oidc-issuer \
             health), look into its log, and start it again if it does not recover. To do it without the service: end \
             that, and add --store"
        ),
        _ => anyhow!("{path} cannot be connected to: {error}"),
    }
}

/// Asks over mutual TLS.
pub(super) fn ask_address(address: &Address, verb: Verb, request: &Request) -> Answer {
    let Address { host, port, .. } = address;
    let place = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let config = tls(address)?;
    let name = ServerName::try_from(host.clone()).with_context(|| format!("{host} is no host"))?;
    let stream = connect(host, *port).with_context(|| {
        format!("{place} does not answer: does the service run, and is that its control.address?")
    })?;
    let session = ClientConnection::new(Arc::new(config), name)?;
    let stream = StreamOwned::new(session, stream);
    exchange(stream, &place, verb, request).map_err(|error| {
        let refused = error
            .chain()
            .filter_map(|cause| cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref())
            .find_map(|cause: &rustls::Error| match cause {
                rustls::Error::AlertReceived(alert) => Some(format!(
                    "{place} refuses the certificate in {} ({alert:?}): it must be of the CA that control.clientCaFile \
                     names",
                    display::path(&address.cert)
                )),
                rustls::Error::InvalidCertificate(why) => Some(format!(
                    "the certificate of {place} is not the right one: {}. It must be of the CA in {}",
                    certificate::refusal(why),
                    display::path(&address.ca)
                )),
                _ => None,
            });
        let closed = || {
            let closed = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
            let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
            causes.any(|cause| closed.contains(&cause.kind())).then(|| {
                format!("{place} closed the connection: does it take the certificate in {}?", display::path(&address.cert))
            })
        };
        let refused = refused.or_else(closed);
        refused.map_or_else(|| error.context(place.clone()), |refused| anyhow!(refused))
    })
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECTS_WITHIN) {
            Ok(stream) => {
                stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
                stream.set_write_timeout(Some(ANSWERS_WITHIN))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn tls(address: &Address) -> anyhow::Result<ClientConfig> {
    let read = |flag: &str, path: &Path| {
        let read = fs::read_soon(path, fs::MAX_PEM);
        read.with_context(|| format!("{flag} {} cannot be read", display::path(path)))
    };
    let (ca, cert, key) = (
        ("--ca-file", address.ca.as_path()),
        ("--cert-file", address.cert.as_path()),
        ("--key-file", address.key.as_path()),
    );
    let refused = |(flag, path): (&str, &Path), problem: &dyn std::fmt::Display| {
        anyhow!("{flag} {} {problem}", display::path(path))
    };
    let roots = pem::authorities(&read(ca.0, ca.1)?).map_err(|error| refused(ca, &error))?;
    let chain = pem::certificates(&read(cert.0, cert.1)?).map_err(|error| refused(cert, &error))?;
    for (file, found) in [(ca, &roots.certificates), (cert, &chain)] {
        if found.is_empty() {
            return Err(refused(file, &"holds no certificate (PEM)"));
        }
    }
    if let Some(doubt) = chain.first().and_then(certificate::doubt) {
        return Err(anyhow!("{} {}: {doubt}", cert.0, display::path(cert.1)));
    }
    let private = pem::private_key(&read(key.0, key.1)?).map_err(|error| refused(key, &error))?;
    let private = private.ok_or_else(|| refused(key, &"holds no private key (PEM)"))?;
    let together = || {
        format!(
            "the key in {} and the certificate in {} cannot be used together",
            display::path(&address.key),
            display::path(&address.cert)
        )
    };
    let certified = pem::certified(chain, &private).with_context(together)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots.store)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn exchange(mut stream: impl Read + Write, host: &str, verb: Verb, request: &Request) -> Answer {
    let (line, body) = if verb.only_looks() {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if let Some(issuer) = &request.issuer {
            query.append_pair("issuer", issuer);
        }
        (format!("GET /v1/keys?{}", query.finish()), String::new())
    } else {
        (
            format!("POST /v1/keys/{}", verb.as_str()),
            serde_json::to_string(request)?,
        )
    };
    let head = format!(
        "{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let sent = stream
        .write_all((head + &body).as_bytes())
        .and_then(|()| stream.flush());
    let mut answer = Vec::new();
    // Also where not all was sent: why not may have come meanwhile.
    let read = stream.take(MAX_ANSWER).read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let Some((status, body)) = health::parse(&answer) else {
        read.and(sent).map_err(|error| no_answer(verb, error))?;
        return Err(if answer.is_empty() {
            anyhow!("it closed the connection without an answer: look into its log")
        } else {
            anyhow!("the answer is not HTTP: is this the control endpoint?")
        });
    };
    let unknown = || {
        format!(
            "an answer ({status}) that this release ({VERSION}) does not know: if the service is of another one, use the \
             oidc-issuer that it runs"
        )
    };
    if status == 200 {
        return Ok(Ok(serde_json::from_str(&body).with_context(unknown)?));
    }
    let failed = serde_json::from_str(&body);
    Ok(Err(failed.with_context(unknown)?))
}

fn no_answer(verb: Verb, error: io::Error) -> anyhow::Error {
    match error.kind() {
        // What a read says whose time is over.
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            let seconds = ANSWERS_WITHIN.as_secs();
            let doubt = if verb.only_looks() {
                ""
            } else {
                ", and whether the command was carried out is not known: look with keys list before you repeat it"
            };
            anyhow!(
                "no answer within {seconds} s{doubt}. It hangs: ask its /livez (oidc-issuer health), look into its log, \
                 and start it again if it does not recover"
            )
        }
        _ => anyhow::Error::new(error).context("no answer"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixSocket;

    use super::*;

    #[tokio::test]
    async fn a_service_that_takes_no_connections_is_said_to_hang() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let hangs = UnixSocket::new_stream().unwrap();
        hangs.bind(&path).unwrap();
        let _listener = hangs.listen(1).unwrap();
        let within = Duration::from_millis(200);
        let mut waiting = Vec::new();
        let error = loop {
            match connect_socket(&path, within) {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
        };
        let told = no_socket(&path, &error).to_string();
        assert!(
            told.contains("takes no connections: the service") && told.contains("/livez"),
            "{told}"
        );
    }

    #[test]
    fn what_is_no_socket_is_not_taken_for_that_of_a_killed_service() {
        let folder = tempfile::tempdir().unwrap();
        let told = |path: &Path| {
            let error = connect_socket(path, CONNECTS_WITHIN).unwrap_err();
            no_socket(path, &error).to_string()
        };
        let [file, inside, killed] = ["file", "folder", "killed"].map(|name| folder.path().join(name));
        std::fs::write(&file, "").unwrap();
        std::fs::create_dir(&inside).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&killed).unwrap());
        for path in [file, inside] {
            assert!(told(&path).contains("is no socket"), "{}", told(&path));
        }
        assert!(told(&killed).contains("nobody listens"), "{}", told(&killed));
    }

    #[test]
    fn of_an_answer_that_is_none_of_ours_is_said_what_it_is() {
        let told = |answer: &str| {
            let (mut service, client) = UnixStream::pair().unwrap();
            service.write_all(answer.as_bytes()).unwrap();
            service.shutdown(std::net::Shutdown::Write).unwrap();
            let error = exchange(client, "localhost", Verb::List, &Request::default()).unwrap_err();
            format!("{error:#}")
        };
        let other = told("HTTP/1.1 404 Not Found\r\n\r\n{}");
        assert!(
            other.contains(VERSION) && other.contains("use the oidc-issuer that it runs"),
            "{other}"
        );
        assert!(told("SSH-2.0-x\r\n").contains("is not HTTP"));
        assert!(told("").contains("without an answer"));
    }

    #[test]
    fn of_a_command_without_an_answer_is_said_that_it_may_have_been_carried_out() {
        let late = |verb| no_answer(verb, io::ErrorKind::WouldBlock.into()).to_string();
        assert!(late(Verb::Revoke).contains("is not known"));
        assert!(!late(Verb::List).contains("is not known"));
        assert!(late(Verb::List).starts_with("no answer within 40 s. It hangs"));
    }
}
