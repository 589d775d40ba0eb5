//! What an operator writes → validated settings; every error names the field.
//!
//! The file is read into a tree first, and the flags and variables that override it are laid over that tree,
//! so that everything is judged by one set of rules, and every problem is reported at once.

mod control;
mod duration;
mod fields;
mod issuers;
mod limits;
mod listeners;
mod overlay;
mod problem;
mod schema;
mod sources;
mod store;
mod tree;
mod warnings;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use zeroize::Zeroizing;

pub(crate) use self::duration::show as show_duration;
use self::fields::{Field, Mapping};
pub use self::listeners::ADMIN as DEFAULT_ADMIN;
pub use self::overlay::{Overlay, PREFIX, Said, unknown_variable};
use self::problem::Report;
pub use self::problem::{Problem, Problems};
use self::sources::Folders;
pub(crate) use self::store::local as local_store;
pub(crate) use self::tree::MAX_BYTES;
use self::tree::{Node, Value};
use crate::control::ControlSettings;
use crate::display;
use crate::edge::{Limits, ListenerSettings, TlsSettings};
use crate::fs::{self, FileError};
use crate::issuer::{IssuerSettings, ReadLimits};
use crate::metrics::IssuerRows;
use crate::publication;
use crate::source::SourceSettings;
use crate::store::StoreSettings;

/// Everything `serve` runs by, validated.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// At least one.
    pub issuers: Vec<IssuerSettings>,
    /// Where ledgers are kept.
    pub store: StoreSettings,
    /// Whether it is called `file`, as in former releases.
    pub store_is_file: bool,
    /// At least one.
    pub listeners: Vec<ListenerSettings>,
    /// The admin listener.
    pub admin: SocketAddr,
    /// Where operators' commands are taken beside the socket in the state folder.
    pub control: Option<ControlSettings>,
    /// The file that a line is appended to for each command.
    pub audit: Option<PathBuf>,
    /// The state folder.
    pub state_dir: PathBuf,
    /// What is logged, and how.
    pub logging: Logging,
    /// Which issuers have rows of their own in the metrics.
    pub issuer_rows: IssuerRows,
    /// Bounds of the edge.
    pub limits: Limits,
    /// Bounds of reading the sources.
    pub reads: ReadLimits,
}

impl Settings {
    /// The listeners as they are opened: a self-signed certificate without names gets the hosts of the issuers.
    pub fn listeners_to_open(&self) -> Vec<ListenerSettings> {
        let hosts = self.hosts();
        let mut listeners = self.listeners.clone();
        for listener in &mut listeners {
            if let Some(TlsSettings::SelfSigned { names, .. }) = &mut listener.tls
                && names.is_empty()
            {
                names.clone_from(&hosts);
            }
        }
        listeners
    }

    /// What of `new` cannot take the place of these settings while the process runs.
    pub fn needing_restart(&self, new: &Self) -> Vec<&'static str> {
        [
            ("store", self.store != new.store),
            ("listeners", self.listeners != new.listeners),
            ("admin.address", self.admin != new.admin),
            ("control", self.control != new.control),
            ("audit.file", self.audit != new.audit),
            ("stateDir", self.state_dir != new.state_dir),
            ("limits", self.limits != new.limits || self.reads != new.reads),
            ("logging.format", self.logging.format != new.logging.format),
        ]
        .into_iter()
        .filter_map(|(name, changed)| changed.then_some(name))
        .collect()
    }

    /// What may be meant so, and is worth a second thought.
    pub fn warnings(&self) -> Vec<String> {
        warnings::of(self)
    }

    /// The shortest time that caches keep a JWKS: what is read less often than that is noticed late.
    pub fn smallest_max_age(&self) -> Option<SignedDuration> {
        let issuers = self.issuers.iter();
        issuers.map(|issuer| issuer.profile.jwks_cache.max_age).min()
    }

    /// The hosts of the issuers, without the brackets of an address, each once.
    pub fn hosts(&self) -> Vec<String> {
        let mut hosts: Vec<_> = self
            .issuers
            .iter()
            .map(|issuer| issuer.profile.issuer.host().trim_matches(['[', ']']).to_owned())
            .collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }

    /// Whether something is kept in the state folder: ledgers, the embedded key, a self-signed certificate.
    pub fn keeps_state(&self) -> bool {
        let embedded = self
            .issuers
            .iter()
            .flat_map(|issuer| &issuer.sources)
            .any(|source| matches!(source.settings, SourceSettings::Embedded(_)));
        let self_signed = self
            .listeners
            .iter()
            .any(|listener| matches!(listener.tls, Some(TlsSettings::SelfSigned { .. })));
        let ledgers = self
            .store
            .local()
            .is_some_and(|local| local.file.starts_with(&self.state_dir));
        ledgers || embedded || self_signed
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives as in `info,oidc_issuer::edge=debug`.
    pub level: String,
    /// Human or JSON.
    pub format: LogFormat,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal and in the journal of systemd, otherwise JSON.
    #[default]
    Auto,
    /// Sentences.
    Human,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// All of them, by their names.
    pub const ALL: [(&str, Self); 3] = [("human", Self::Human), ("json", Self::Json), ("auto", Self::Auto)];
}

/// The levels of the log, by their names.
pub const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// The level that is logged where nothing says otherwise.
pub const DEFAULT_LEVEL: &str = "info";

/// The most issuers that one service takes: what is promised of memory and time is measured with so many.
const MAX_ISSUERS: usize = 100_000;

/// Reads a configuration file, lays `overlay` over it, and validates the whole.
///
/// `state_dir` is used where neither says one.
pub fn load(file: Option<&Path>, overlay: &Overlay, state_dir: &Path) -> Result<Settings, Problems> {
    let Some(file) = file else {
        return read(None, empty(), Path::new(""), overlay, state_dir);
    };
    let name = display::path(file);
    let bytes = read_bytes(file).map_err(|message| Problems::of_file(&name, None, message))?;
    let tree = tree::parse(&bytes).map_err(|error| Problems::of_file(&name, error.line, error.message))?;
    // They may be large, and so may what is made of the tree.
    drop(bytes);
    let folder = file.parent().unwrap_or(Path::new(""));
    read(Some(&name), tree, folder, overlay, state_dir)
}

/// Parses an address that a flag or a variable says.
pub fn parse_address(said: &Said) -> Result<SocketAddr, Problems> {
    listeners::address(&said.value).map_err(|message| Problems {
        file: None,
        list: vec![Problem {
            place: said.by.clone(),
            line: None,
            message,
        }],
    })
}

/// Checks the URL of a JWKS source that an argument says.
pub fn parse_source_url(text: &str) -> Result<String, String> {
    sources::https_or_loopback(text)
}

/// Parses the URL of an issuer that a flag says.
pub fn parse_issuer(text: &str) -> Result<String, String> {
    crate::publication::IssuerUrl::parse(text)
        .map(|issuer| issuer.to_string())
        .map_err(|error| error.to_string())
}

/// Parses a duration that a flag says.
pub fn parse_duration(text: &str) -> Result<jiff::SignedDuration, String> {
    duration::parse(text).ok_or_else(|| duration::SHAPE.to_owned())
}

/// A configuration file as it is, in a bounded time.
fn read_bytes(file: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    fs::read_soon(file, MAX_BYTES).map_err(|error| match error {
        FileError::Missing => "does not exist: name an existing file with --config".to_owned(),
        FileError::Directory => "is a folder: name the file in it".to_owned(),
        FileError::TooLarge { .. } => tree::too_large(),
        FileError::NotRegular(_) => format!(
            "cannot be read: {error}. It is read again when it changes, so write its content into a file (mode 0600 if it \
             holds a secret) and name that; `<(…)` of a shell and /dev/stdin are no files"
        ),
        error => format!("cannot be read: {error}"),
    })
}

fn empty() -> Node {
    Node {
        value: Value::Map(Vec::new()),
        origin: tree::Origin::Line(1),
    }
}

fn read(
    name: Option<&str>,
    mut tree: Node,
    folder: &Path,
    overlay: &Overlay,
    state_dir: &Path,
) -> Result<Settings, Problems> {
    let report = Report::default();
    overlay.lay_over(&mut tree, &report);
    let settings = settings(&Field::root(&tree, &report), folder, state_dir);
    let settings = report.finish(name, settings)?;
    // Whatever is missing was reported.
    settings.ok_or_else(|| Problems::of_file(name.unwrap_or("settings"), None, "cannot be used"))
}

fn settings(root: &Field<'_>, folder: &Path, default_state: &Path) -> Option<Settings> {
    let root = root.mapping(&schema::ROOT).given()?;
    let here = Folders {
        file: folder,
        state: default_state,
    };
    let state_dir = root
        .read("stateDir", |field| here.path(field))
        .or(default_state.to_owned());
    let folders = Folders {
        file: folder,
        state: state_dir.as_deref().unwrap_or(default_state),
    };
    let issuers = read_issuers(&root, folders, MAX_ISSUERS);
    let (store, store_is_file) = store::read(&root, folders).unzip();
    let listeners = listeners::read(&root, folders);
    let admin = listeners::admin(&root, listeners.as_deref().unwrap_or_default());
    let control = control::read(&root, folders, admin, listeners.as_deref().unwrap_or_default());
    let audit = control::audit(&root, folders);
    let logging = logging(&root);
    let issuer_rows = issuer_rows(&root);
    let limits = limits::read(&root);
    let (limits, reads) = limits.map_or((None, None), |(limits, reads)| (Some(limits), Some(reads)));
    Some(Settings {
        issuers: issuers?,
        store: store?,
        store_is_file: store_is_file?,
        listeners: listeners?,
        admin: admin?,
        control: control.map(Some).or(None)?,
        audit: audit.map(Some).or(None)?,
        state_dir: state_dir?,
        logging: logging?,
        issuer_rows: issuer_rows?,
        limits: limits?,
        reads: reads?,
    })
}

fn read_issuers(root: &Mapping<'_>, folders: Folders<'_>, most: usize) -> Option<Vec<IssuerSettings>> {
    const WHAT: &str = "a configuration without an issuer serves nothing: write `issuers:` and under it `- issuer: https://…` with its `sources`";
    let Some(field) = root.get("issuers") else {
        root.missing("issuers", WHAT);
        return None;
    };
    if matches!(&field.node.value, Value::Null) {
        return field.refuse(format!("is empty: {WHAT}")).given();
    }
    let entries = field.list().given()?;
    if entries.is_empty() {
        return field.refuse(format!("is empty: {WHAT}")).given();
    }
    if entries.len() > most {
        let count = entries.len();
        let message = format!(
            "lists {count} issuers, but one service takes at most {most}: divide them among several services, each with \
             a state folder of its own"
        );
        return field.refuse(message).given();
    }
    let read: Vec<_> = entries
        .iter()
        .filter_map(|entry| Some((entry, issuers::read(entry, folders)?)))
        .collect();
    let urls: Vec<_> = read
        .iter()
        .map(|(_, issuer)| (&issuer.profile.issuer, &issuer.profile.jwks_uri))
        .collect();
    for collision in publication::collisions(&urls) {
        if let Some((entry, _)) = read.get(collision.second) {
            entry.report.add(&entry.place, collision.to_string());
        }
    }
    Some(read.into_iter().map(|(_, issuer)| issuer).collect())
}

fn logging(root: &Mapping<'_>) -> Option<Logging> {
    let mut logging = Logging {
        level: DEFAULT_LEVEL.to_owned(),
        format: LogFormat::Auto,
    };
    if let Some(field) = root.get("logging") {
        let mapping = field.mapping(&schema::LOGGING).given()?;
        let format = mapping.read("format", |field| field.word(&LogFormat::ALL));
        let level = mapping.read("level", |field| field.text_map(level));
        logging.format = format.or(logging.format)?;
        logging.level = level.or(logging.level)?;
    }
    Some(logging)
}

fn issuer_rows(root: &Mapping<'_>) -> Option<IssuerRows> {
    let Some(field) = root.get("metrics") else {
        return Some(IssuerRows::default());
    };
    let words = [
        ("all", IssuerRows::All),
        ("troubled", IssuerRows::Troubled),
        ("none", IssuerRows::None),
    ];
    let mapping = field.mapping(&schema::METRICS).given()?;
    mapping
        .read("issuers", |field| field.word(&words))
        .or(IssuerRows::default())
}

/// The form of the log by its name.
pub(crate) fn log_format(text: &str) -> Result<LogFormat, String> {
    schema::word(text, &LogFormat::ALL)
}

/// A level or directives, as `tracing_subscriber::EnvFilter` takes them.
pub(crate) fn level(text: &str) -> Result<String, String> {
    let simple = text.chars().all(|c| c.is_ascii_alphabetic());
    if simple && !LEVELS.contains(&text) {
        return Err(match schema::nearest(text, LEVELS) {
            Some(level) => format!("`{text}` is no level; did you mean `{level}`?"),
            None => format!("`{text}` is no level: {}", schema::choices(&LEVELS)),
        });
    }
    match tracing_subscriber::EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!(
            "`{text}` is no level ({error}): write info, or info,oidc_issuer::edge=debug"
        )),
    }
}

#[cfg(test)]
mod tests;
