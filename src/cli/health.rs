//! `health`: for container health checks, where there is no shell and no curl.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::flags::SettingsArgs;
use super::logging::LoggingArgs;
use super::{Failure, output};

/// A health check that takes longer has failed; container runtimes give up after 30 s.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// Ask a running service whether it is healthy
///
/// For container health checks. Asks /livez of the admin address; exit code 0 if healthy, otherwise 1.
#[expect(clippy::doc_markdown, reason = "help is plain text")]
#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// Ask /readyz: whether it should be sent requests
    #[arg(long)]
    ready: bool,

    /// The configuration file, for its admin address [env: OIDC_ISSUER_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,

    /// The admin address [default: 127.0.0.1:9180] [env: OIDC_ISSUER_ADMIN]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
}

pub(super) fn run(args: HealthArgs) -> Result<ExitCode, Failure> {
    let path = if args.ready { "/readyz" } else { "/livez" };
    let asked = SettingsArgs::for_admin(args.config, args.admin).asked(LoggingArgs::default());
    let admin = asked.admin()?;
    let mut last = None;
    for address in reachable(admin) {
        match ask(address, path) {
            Ok((200, body)) => {
                output::say(body).map_err(Failure::failed)?;
                return Ok(ExitCode::SUCCESS);
            }
            Ok((code, body)) => {
                let mut lines = body.trim().lines();
                let first = lines.next().unwrap_or_default();
                output::complain(format_args!("http://{address}{path} answers {code}: {first}"));
                lines.for_each(output::complain);
                return Ok(ExitCode::FAILURE);
            }
            Err(error) => last = Some((address, error)),
        }
    }
    if let Some((address, error)) = last {
        output::complain(format_args!(
            "http://{address}{path} does not answer: {}",
            why(&error)
        ));
    }
    Ok(ExitCode::FAILURE)
}

/// Why there is no answer, and what to do.
fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "nobody listens there. Does the service run, and is that its admin address (--admin, or --config)?".to_owned()
        }
        // What a read says whose time is over.
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => format!(
            "not within {} s. The service hangs, or its machine is overloaded: look into its log, and start it again if it \
             does not recover",
            TIMEOUT.as_secs()
        ),
        _ => error.to_string(),
    }
}

/// Where an address that is listened on can be reached from this machine.
fn reachable(admin: SocketAddr) -> Vec<SocketAddr> {
    let port = admin.port();
    let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port);
    match admin.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => vec![v4],
        IpAddr::V6(ip) if ip.is_unspecified() => vec![v6, v4],
        _ => vec![admin],
    }
}

fn ask(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::other("the answer is not HTTP: is this the admin address?"))
}

/// Status and body of an HTTP/1.1 response.
pub(super) fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut words = head.strip_prefix("HTTP/1.")?.split(' ');
    let code = words.nth(1)?.parse().ok()?;
    Some((code, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_is_asked_on_loopback() {
        let asked = |text: &str| {
            let addresses = reachable(text.parse().unwrap());
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(asked("[::]:9180"), ["[::1]:9180", "127.0.0.1:9180"]);
        assert_eq!(asked("0.0.0.0:9180"), ["127.0.0.1:9180"]);
        assert_eq!(asked("10.0.0.1:9180"), ["10.0.0.1:9180"]);
    }

    #[test]
    fn of_a_service_that_hangs_and_of_one_that_is_not_there_is_said_what_to_do() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // Taken by the system, and never answered.
        let late = why(&ask(address, "/livez").unwrap_err());
        assert!(late.starts_with("not within 3 s. The service hangs"), "{late}");
        drop(listener);
        let gone = why(&ask(address, "/livez").unwrap_err());
        assert!(gone.starts_with("nobody listens there"), "{gone}");
    }

    #[test]
    fn status_and_body_are_read() {
        let answer = "HTTP/1.1 503 Service Unavailable\r\nx: y\r\n\r\nnot ready\n";
        assert_eq!(parse(answer), Some((503, "not ready\n".to_owned())));
        assert_eq!(parse("SSH-2.0-x\r\n"), None);
    }
}
