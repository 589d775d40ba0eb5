//! Keeps a certificate current: reads its files again when they change, renews the self-signed one.
//!
//! A new pair is checked before it is shown. One that fails is logged and counted, and the old one stays.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustls::sign::CertifiedKey;
use tracing::{error, info, warn};

use super::hosts::Hosts;
use super::pair::{Files, Fingerprint, Pair};
use super::self_signed;
use crate::clock::Clock;
use crate::display;
use crate::edge::{EdgeError, TlsSettings};
use crate::fs::{self, Blocking, Ended};
use crate::metrics::ListenerMetrics;

/// How often the files are read. Contents are compared, not times, so the kubelet's swap of `..data`
/// and files restored with an old date are seen too.
const LOOK: Duration = Duration::from_secs(1);

/// How often it is asked whether the self-signed certificate is to be renewed.
const RENEWAL: Duration = Duration::from_hours(1);

/// From when on a certificate that nobody replaced is spoken of in the log, and how often.
const ENDING: SignedDuration = SignedDuration::from_hours(7 * 24);
const REMIND: SignedDuration = SignedDuration::from_hours(24);

/// Looks after one certificate.
#[derive(Debug)]
pub(super) struct Keeper {
    settings: TlsSettings,
    clock: Clock,
    not_after: Timestamp,
    reminded: Option<Timestamp>,
    seen: Seen,
    reading: Blocking<Looked>,
    renewing: Blocking<Result<Pair, EdgeError>>,
    listeners: Vec<ListenerMetrics>,
    /// What the certificates should name.
    hosts: Hosts,
}

/// What was last read of the files.
#[derive(Debug, Default)]
struct Seen {
    /// What is shown now.
    taken: Option<Fingerprint>,
    /// What differs from it. Refused only when it was read twice: two files are not replaced in one step.
    waiting: Option<Result<Fingerprint, String>>,
    /// Whether it was refused already: once is enough in the log.
    refused: bool,
}

impl Keeper {
    pub(super) fn open(settings: TlsSettings, clock: Clock) -> Result<(Self, Pair), EdgeError> {
        let now = clock.now();
        let (files, pair) = match &settings {
            TlsSettings::Files { cert, key } => {
                let files = Files::read_soon(cert, key)?;
                let pair = files.pair(cert, key, now)?;
                (Some(files.fingerprint()), pair)
            }
            TlsSettings::SelfSigned { folder, names } => (None, self_signed::open(folder, names, now)?),
        };
        warn_of(&pair, &settings);
        let seen = Seen {
            taken: files,
            ..Seen::default()
        };
        let keeper = Self {
            settings,
            clock,
            not_after: pair.not_after,
            reminded: None,
            seen,
            reading: Blocking::default(),
            renewing: Blocking::default(),
            listeners: Vec::new(),
            hosts: Hosts::default(),
        };
        Ok((keeper, pair))
    }

    pub(super) fn compare(&mut self, hosts: Hosts, shown: &CertifiedKey) {
        self.hosts = hosts;
        self.show(shown);
    }

    fn show(&self, shown: &CertifiedKey) {
        if let (TlsSettings::Files { cert, .. }, Some(leaf)) = (&self.settings, shown.cert.first()) {
            self.hosts.show(cert, leaf.clone());
        }
    }

    pub(super) fn tell(&mut self, listener: ListenerMetrics) {
        listener.certificate_expires(self.not_after);
        self.listeners.push(listener);
    }

    /// Waits for the next certificate to show.
    pub(super) async fn next(&mut self) -> Pair {
        loop {
            self.remind();
            let changed = match self.settings.clone() {
                TlsSettings::Files { cert, key } => {
                    tokio::time::sleep(LOOK).await;
                    self.look(cert, key).await
                }
                TlsSettings::SelfSigned { folder, names } => {
                    tokio::time::sleep(RENEWAL).await;
                    self.renew(folder, names).await
                }
            };
            match changed {
                Ok(None) => {}
                Ok(Some(pair)) => {
                    info!(
                        certificate = %shown_name(&self.settings), valid_until = %pair.not_after,
                        "a new certificate is in use"
                    );
                    warn_of(&pair, &self.settings);
                    self.show(&pair.certified);
                    if let TlsSettings::Files { .. } = self.settings {
                        for warning in self.hosts.warnings() {
                            warn!("{warning}");
                        }
                    }
                    self.not_after = pair.not_after;
                    for listener in &self.listeners {
                        listener.certificate_reload(true);
                        listener.certificate_expires(pair.not_after);
                    }
                    return pair;
                }
                Err(problem) => {
                    error!(
                        valid_until = %self.not_after,
                        "the certificate was not replaced, the one in use stays: {problem}"
                    );
                    for listener in &self.listeners {
                        listener.certificate_reload(false);
                    }
                }
            }
        }
    }

    /// A certificate that ends is no reason to stop serving, but clients will refuse it.
    fn remind(&mut self) {
        let now = self.clock.now();
        let reminded = self
            .reminded
            .is_some_and(|last| now.duration_since(last) < REMIND);
        if reminded || self.not_after.duration_since(now) > ENDING {
            return;
        }
        self.reminded = Some(now);
        let (certificate, at) = (shown_name(&self.settings), self.not_after);
        if now > at {
            error!("the certificate in {certificate} expired at {at}: clients refuse it until it is renewed");
        } else {
            warn!("the certificate in {certificate} expires at {at}: renew it");
        }
    }

    /// One look at the files: a new pair, nothing to do, or a refusal that was not told before.
    async fn look(&mut self, cert: PathBuf, key: PathBuf) -> Result<Option<Pair>, String> {
        let (now, taken) = (self.clock.now(), self.seen.taken);
        // Files may lie on a network file system: one that hangs keeps a thread, and nothing else.
        let looked = self
            .reading
            .run(fs::TIMEOUT, move || look(&cert, &key, taken, now));
        let looked = looked
            .await
            .unwrap_or_else(|ended| Looked::Other(Err(late(&ended))));
        let Looked::Other(read) = looked else {
            self.seen.waiting = None;
            return Ok(None);
        };
        let now_read = read
            .as_ref()
            .map(|(fingerprint, _)| *fingerprint)
            .map_err(Clone::clone);
        let again = self.seen.waiting.as_ref() == Some(&now_read);
        let told = again && self.seen.refused;
        self.seen.waiting = Some(now_read);
        self.seen.refused = again;
        // Judged anew each time: what was not valid yet becomes so.
        let judged = match read {
            Ok((fingerprint, Ok(pair))) => {
                self.seen = Seen {
                    taken: Some(fingerprint),
                    ..Seen::default()
                };
                return Ok(Some(pair));
            }
            Ok((_, Err(problem))) | Err(problem) => problem,
        };
        if again && !told { Err(judged) } else { Ok(None) }
    }

    async fn renew(&mut self, folder: PathBuf, names: Vec<String>) -> Result<Option<Pair>, String> {
        let now = self.clock.now();
        let renewed = self
            .renewing
            .run(fs::TIMEOUT, move || self_signed::open(&folder, &names, now));
        let pair = renewed
            .await
            .map_err(|ended| late(&ended))?
            .map_err(|error| error.to_string())?;
        Ok((pair.not_after != self.not_after).then_some(pair))
    }
}

/// What a look at the files gave.
enum Looked {
    /// What is shown already.
    Same,
    /// Something else: a pair or why it is none; or why nothing could be read.
    Other(Result<(Fingerprint, Result<Pair, String>), String>),
}

fn look(cert: &Path, key: &Path, taken: Option<Fingerprint>, now: Timestamp) -> Looked {
    let files = match Files::read(cert, key) {
        Ok(files) => files,
        Err(error) => return Looked::Other(Err(error.to_string())),
    };
    let fingerprint = files.fingerprint();
    if taken == Some(fingerprint) {
        return Looked::Same;
    }
    let pair = files.pair(cert, key, now).map_err(|error| error.to_string());
    Looked::Other(Ok((fingerprint, pair)))
}

fn late(ended: &Ended) -> String {
    match ended {
        Ended::Late => format!(
            "its files were not read within {} s: does a disk or network mount hang?",
            fs::TIMEOUT.as_secs()
        ),
        Ended::Panicked(error) => error.to_string(),
    }
}

/// For a person, where a certificate ends within days.
pub(super) fn ends_soon(not_after: Timestamp, now: Timestamp) -> Option<String> {
    (not_after.duration_since(now) <= ENDING).then(|| format!("expires at {not_after}: renew it"))
}

fn warn_of(pair: &Pair, settings: &TlsSettings) {
    if let Some(doubt) = &pair.doubt {
        warn!("{} {doubt}", shown_name(settings));
    }
}

fn shown_name(settings: &TlsSettings) -> String {
    match settings {
        TlsSettings::Files { cert, .. } => display::path(cert),
        TlsSettings::SelfSigned { folder, .. } => display::path(folder.join(self_signed::CERT)),
    }
}
