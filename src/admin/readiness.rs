//! Whether this replica should be sent requests: a latch, so that a source's trouble never takes a replica out.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::display;
use crate::issuer::Published;
use crate::publication::IssuerUrl;

/// After so long one published issuer is enough: the others must not lack a server for the trouble of one.
/// At least as long as the longest backoff of a failing source, so that a short outage at the start is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// So many issuers are named in the body of `/readyz`.
const MAX_NAMED: usize = 50;

/// So many characters of each reason.
const MAX_REASON: usize = 1000;

/// Ready once every required issuer was published, or after 60 s as soon as any is.
/// Once ready it stays so until shutdown begins.
#[derive(Debug, Default)]
pub struct Readiness {
    latched: AtomicBool,
    closing: AtomicBool,
}

/// What [`Readiness`] says at one moment; `Display` is the body of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Send requests.
    Ready,
    /// Not yet: these required issuers have no keys to publish.
    Awaiting(Vec<Awaited>),
    /// Shutdown has begun.
    Closing,
}

/// A required issuer without keys, and why, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// It.
    pub issuer: IssuerUrl,
    /// The last failure of each of its sources.
    pub reason: Option<String>,
}

impl Readiness {
    /// Not ready yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shutdown begins: never ready again.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Where it stands, this long after the start, with so much published.
    pub fn standing(&self, published: &Published, since_start: Duration) -> Standing {
        if self.closing.load(Ordering::Acquire) {
            return Standing::Closing;
        }
        let enough = published.waiting.is_empty() || since_start >= PATIENCE && published.any;
        if enough || self.latched.load(Ordering::Acquire) {
            self.latched.store(true, Ordering::Release);
            return Standing::Ready;
        }
        let awaited = published.waiting.iter().map(|issuer| Awaited {
            issuer: issuer.clone(),
            reason: published.reasons.get(issuer).cloned(),
        });
        Standing::Awaiting(awaited.collect())
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::Awaiting(issuers) => {
                f.write_str("not ready: waiting for the first keys of")?;
                for Awaited { issuer, reason } in issuers.iter().take(MAX_NAMED) {
                    write!(f, "\n{issuer}")?;
                    if let Some(reason) = reason {
                        write!(f, ": {}", display::line(&shortened(reason)))?;
                    }
                }
                match issuers.len().saturating_sub(MAX_NAMED) {
                    0 => Ok(()),
                    more => write!(f, "\nand {more} more"),
                }
            }
            Self::Closing => f.write_str("not ready: shutting down"),
        }
    }
}

fn shortened(reason: &str) -> String {
    let mut shown: String = reason.chars().take(MAX_REASON).collect();
    if shown.len() < reason.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;
    const PATIENT: Duration = Duration::from_secs(59);
    const IMPATIENT: Duration = Duration::from_mins(1);

    fn issuer(url: &str) -> IssuerUrl {
        IssuerUrl::parse(url).unwrap()
    }

    fn published(waiting: &[&str], any: bool) -> Published {
        Published {
            waiting: waiting.iter().map(|url| issuer(url)).collect(),
            any,
            ..Published::default()
        }
    }

    #[test]
    fn it_waits_for_every_required_issuer_and_names_those_that_lack() {
        let readiness = Readiness::new();
        let standing = readiness.standing(&published(&["https://a.example/x"], true), PATIENT);
        let awaited = Awaited {
            issuer: issuer("https://a.example/x"),
            reason: None,
        };
        assert_eq!(standing, Standing::Awaiting(vec![awaited]));
        assert!(standing.to_string().ends_with("\nhttps://a.example/x"));
        assert_eq!(
            readiness.standing(&published(&[], true), PATIENT),
            Standing::Ready
        );
    }

    #[test]
    fn after_a_minute_any_issuer_is_enough_but_none_is_not() {
        let readiness = Readiness::new();
        let none = readiness.standing(&published(&["https://a.example"], false), IMPATIENT);
        assert!(matches!(none, Standing::Awaiting(_)));
        let any = readiness.standing(&published(&["https://a.example"], true), IMPATIENT);
        assert_eq!(any, Standing::Ready);
    }

    #[test]
    fn once_ready_it_stays_ready_whatever_is_published() {
        let readiness = Readiness::new();
        readiness.standing(&published(&[], true), AT_ONCE);
        let later = readiness.standing(&published(&["https://a.example"], false), PATIENT);
        assert_eq!(later, Standing::Ready);
    }

    #[test]
    fn it_falls_at_shutdown_and_never_comes_back() {
        let readiness = Readiness::new();
        readiness.standing(&published(&[], true), AT_ONCE);
        readiness.close();
        assert_eq!(
            readiness.standing(&published(&[], true), IMPATIENT),
            Standing::Closing
        );
    }

    #[test]
    fn where_no_issuer_is_required_it_is_ready_at_once() {
        assert_eq!(
            Readiness::new().standing(&published(&[], false), AT_ONCE),
            Standing::Ready
        );
    }

    #[test]
    fn the_body_says_why_each_issuer_waits_in_one_line_and_names_no_more_than_some() {
        let urls: Vec<_> = (0..60).map(|n| format!("https://a.example/{n:02}")).collect();
        let urls: Vec<_> = urls.iter().map(String::as_str).collect();
        let mut state = published(&urls, false);
        let reason = "files: a\u{1b}[2J\n/forged: permission denied";
        state.reasons.insert(issuer(urls[0]), reason.to_owned());
        state.reasons.insert(issuer(urls[1]), "é".repeat(5000));
        let body = Readiness::new().standing(&state, PATIENT).to_string();
        let lines: Vec<_> = body.lines().collect();
        assert_eq!(
            lines[1],
            r"https://a.example/00: files: a\u{1b}[2J\n/forged: permission denied"
        );
        assert!(lines[2].ends_with("é…") && lines[2].chars().count() < 1100);
        assert_eq!(lines[50], "https://a.example/49");
        assert_eq!(lines[51..], ["and 10 more"]);
    }
}
