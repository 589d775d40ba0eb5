//! The few settings that people change per environment: flags and variables, laid over the file.
//!
//! A flag wins over a variable, a variable over the file, the file over the default. Each entry keeps the name
//! it was said by, so that an error names `--listen` or `OIDC_ISSUER_LISTEN` and not a line that nobody wrote.

use super::listeners;
use super::problem::{Place, Report};
use super::schema;
use super::tree::{Node, Origin, Value};

/// A value, and the flag or variable that said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// `--listen`, `OIDC_ISSUER_LISTEN`.
    pub by: String,
    /// As it was written.
    pub value: String,
}

/// What the command line and the environment say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    /// The issuer URL.
    pub issuer: Option<Said>,
    /// Where its JWKS is.
    pub jwks_uri: Option<Said>,
    /// Key files or globs.
    pub keys: Vec<Said>,
    /// A kubeconfig file.
    pub kubeconfig: Option<Said>,
    /// A context in it.
    pub context: Option<Said>,
    /// A JWKS: URL or file.
    pub from_jwks: Option<Said>,
    /// The CA of the source.
    pub source_ca: Option<Said>,
    /// Other issuers that the source may name.
    pub source_claims: Vec<Said>,
    /// HTTPS listeners.
    pub listen: Vec<Said>,
    /// Plain HTTP listeners.
    pub listen_http: Vec<Said>,
    /// The certificate of the HTTPS listeners.
    pub tls_cert: Option<Said>,
    /// Its key.
    pub tls_key: Option<Said>,
    /// The admin listener.
    pub admin: Option<Said>,
    /// The state folder.
    pub state_dir: Option<Said>,
    /// What is logged.
    pub log_level: Option<Said>,
    /// How it is logged.
    pub log_format: Option<Said>,
    /// Whether this process runs in a pod: there `--issuer` alone means the API server of the pod.
    pub in_pod: bool,
    /// Whether nothing names an issuer: a signing key of our own, for trying the service.
    pub embedded: bool,
}

/// The prefix of the variables.
pub const PREFIX: &str = "OIDC_ISSUER_";

/// The variables, without the prefix. `CONFIG` names the file.
const VARIABLES: [&str; 17] = [
    "CONFIG",
    "ISSUER",
    "JWKS_URI",
    "KEYS",
    "KUBECONFIG",
    "CONTEXT",
    "FROM_JWKS",
    "SOURCE_CA",
    "SOURCE_CLAIMS",
    "LISTEN",
    "LISTEN_HTTP",
    "TLS_CERT",
    "TLS_KEY",
    "ADMIN",
    "STATE_DIR",
    "LOG_LEVEL",
    "LOG_FORMAT",
];

/// What to say of a variable that looks like ours and is none. Those that Kubernetes sets in every pod for a Service
/// of the name `oidc-issuer…` are not meant for us.
pub fn unknown_variable(name: &str) -> Option<String> {
    let ours = name.strip_prefix(PREFIX)?;
    let of_a_service = ours == "PORT" || ours.contains("PORT_") || ours.contains("SERVICE_");
    if of_a_service || VARIABLES.contains(&ours) {
        return None;
    }
    Some(match schema::nearest(ours, VARIABLES) {
        Some(meant) => format!("the variable {name} means nothing; did you mean {PREFIX}{meant}?"),
        None => format!("the variable {name} means nothing"),
    })
}

/// Who says what nobody said.
const EMBEDDED_DEFAULT: &str = "the embedded default";

impl Overlay {
    /// What the environment says. An empty variable counts as none; lists are separated by commas.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Self {
        let one = |name: &str| {
            let by = format!("{PREFIX}{name}");
            let value = get(&by).filter(|value| !value.trim().is_empty())?;
            Some(Said { by, value })
        };
        let many = |name: &str| {
            let said = one(name);
            let entries = said.iter().flat_map(|said| {
                said.value.split(',').map(|value| Said {
                    by: said.by.clone(),
                    value: value.trim().to_owned(),
                })
            });
            entries.filter(|entry| !entry.value.is_empty()).collect()
        };
        Self {
            issuer: one("ISSUER"),
            jwks_uri: one("JWKS_URI"),
            keys: many("KEYS"),
            kubeconfig: one("KUBECONFIG"),
            context: one("CONTEXT"),
            from_jwks: one("FROM_JWKS"),
            source_ca: one("SOURCE_CA"),
            source_claims: many("SOURCE_CLAIMS"),
            listen: many("LISTEN"),
            listen_http: many("LISTEN_HTTP"),
            tls_cert: one("TLS_CERT"),
            tls_key: one("TLS_KEY"),
            admin: one("ADMIN"),
            state_dir: one("STATE_DIR"),
            log_level: one("LOG_LEVEL"),
            log_format: one("LOG_FORMAT"),
            in_pod: get("KUBERNETES_SERVICE_HOST").is_some(),
            embedded: false,
        }
    }

    /// Flags over variables. A flag that names a source replaces the source that variables name.
    #[must_use]
    pub fn over(self, env: Self) -> Self {
        let many = |flags: Vec<Said>, variables: Vec<Said>| if flags.is_empty() { variables } else { flags };
        let source = self.names_source();
        let source_of_env = |said: Option<Said>| said.filter(|_| !source);
        Self {
            issuer: self.issuer.or(env.issuer),
            jwks_uri: self.jwks_uri.or(env.jwks_uri),
            keys: if source { self.keys } else { env.keys },
            kubeconfig: self.kubeconfig.or(source_of_env(env.kubeconfig)),
            context: self.context.or(source_of_env(env.context)),
            from_jwks: self.from_jwks.or(source_of_env(env.from_jwks)),
            source_ca: self.source_ca.or(source_of_env(env.source_ca)),
            source_claims: many(self.source_claims, env.source_claims),
            listen: many(self.listen, env.listen),
            listen_http: many(self.listen_http, env.listen_http),
            tls_cert: self.tls_cert.or(env.tls_cert),
            tls_key: self.tls_key.or(env.tls_key),
            admin: self.admin.or(env.admin),
            state_dir: self.state_dir.or(env.state_dir),
            log_level: self.log_level.or(env.log_level),
            log_format: self.log_format.or(env.log_format),
            in_pod: self.in_pod || env.in_pod,
            embedded: self.embedded || env.embedded,
        }
    }

    /// Whether it names a source.
    pub fn names_source(&self) -> bool {
        !self.keys.is_empty() || self.kubeconfig.is_some() || self.from_jwks.is_some()
    }

    /// Whether it names an issuer or a source: then the embedded key is not meant.
    pub fn names_issuer(&self) -> bool {
        self.issuer.is_some() || self.jwks_uri.is_some() || self.names_source()
    }

    pub(super) fn lay_over(&self, root: &mut Node, report: &Report) {
        let Value::Map(root) = &mut root.value else {
            // Reported when it is read as a mapping.
            return;
        };
        self.lay_listeners(root, report);
        if self.embedded || self.names_issuer() || !self.source_claims.is_empty() || self.source_ca.is_some()
        {
            self.lay_issuer(root, report);
        }
        if let Some(said) = &self.admin {
            set_in(root, "admin", "address", text(said));
        }
        if let Some(said) = &self.state_dir {
            set(root, "stateDir", text(said));
        }
        if let Some(said) = &self.log_level {
            set_in(root, "logging", "level", text(said));
        }
        if let Some(said) = &self.log_format {
            set_in(root, "logging", "format", text(said));
        }
    }

    fn lay_issuer(&self, root: &mut Entries, report: &Report) {
        let by = self.issuer_said_by();
        let mut fresh = Node::named(&by, Value::Map(Vec::new()));
        let in_file = root.iter_mut().find(|(name, _)| name == "issuers");
        let listed = match in_file {
            Some((
                _,
                Node {
                    value: Value::List(list),
                    ..
                },
            )) => list.as_mut_slice(),
            _ => &mut [],
        };
        let made = listed.is_empty();
        let issuer = match listed {
            [] => &mut fresh,
            [one] => one,
            several => {
                let count = several.len();
                report.add(
                    &Place::named(by),
                    format!("says something of one issuer, but the file has {count}: change the file"),
                );
                return;
            }
        };
        if let Value::Map(entries) = &mut issuer.value {
            self.lay_issuer_fields(entries, report);
        }
        if made {
            set(root, "issuers", Node::named(&by, Value::List(vec![fresh])));
        }
    }

    fn issuer_said_by(&self) -> String {
        let said = [
            self.issuer.as_ref(),
            self.jwks_uri.as_ref(),
            self.keys.first(),
            self.kubeconfig.as_ref(),
            self.from_jwks.as_ref(),
            self.source_ca.as_ref(),
            self.source_claims.first(),
        ];
        let said = said.into_iter().flatten().next();
        said.map_or_else(|| EMBEDDED_DEFAULT.to_owned(), |said| said.by.clone())
    }

    fn lay_issuer_fields(&self, issuer: &mut Entries, report: &Report) {
        if self.embedded {
            let port = self
                .listen
                .first()
                .and_then(|said| listeners::address(&said.value).ok())
                .map(|address| address.port())
                .filter(|port| *port != 0);
            let port = port.unwrap_or(listeners::LISTEN.port());
            let url = Said {
                by: EMBEDDED_DEFAULT.to_owned(),
                value: format!("https://localhost:{port}"),
            };
            set(issuer, "issuer", text(&url));
        }
        for (name, said) in [("issuer", &self.issuer), ("jwksUri", &self.jwks_uri)] {
            if let Some(said) = said {
                set(issuer, name, text(said));
            }
        }
        if find(issuer, "issuer").is_none() {
            set(
                issuer,
                "issuer",
                Node::named("--issuer", Value::Text(String::new())),
            );
            report.add(
                &Place::named("--issuer"),
                "is missing: name the issuer, exactly as in the `iss` of the cluster's tokens",
            );
        }
        match self.source(report) {
            Some(source) => {
                let list = Node::named(
                    &self.issuer_said_by(),
                    Value::List(vec![Node::named(&self.issuer_said_by(), source)]),
                );
                set(issuer, "sources", list);
            }
            None if find(issuer, "sources").is_some() => {
                for said in self
                    .source_ca
                    .iter()
                    .chain(&self.source_claims)
                    .chain(&self.context)
                {
                    report.add(
                        &Place::named(said.by.clone()),
                        "goes with a source given by flags; the file names the sources here: change the file",
                    );
                }
            }
            None if self.in_pod => {
                let mut source = vec![("apiServer".to_owned(), self.api_server())];
                self.add_claims(&mut source);
                let by = self.issuer_said_by();
                let list = Node::named(&by, Value::List(vec![Node::named(&by, Value::Map(source))]));
                set(issuer, "sources", list);
            }
            None => {
                // The list keeps it from being reported as missing once more.
                set(
                    issuer,
                    "sources",
                    Node::named("--issuer", Value::List(Vec::new())),
                );
            }
        }
    }

    fn api_server(&self) -> Node {
        let mut fields = Entries::new();
        for (name, said) in [
            ("kubeconfig", &self.kubeconfig),
            ("context", &self.context),
            ("caFile", &self.source_ca),
        ] {
            if let Some(said) = said {
                set(&mut fields, name, text(said));
            }
        }
        Node::named(&self.issuer_said_by(), Value::Map(fields))
    }

    fn add_claims(&self, source: &mut Entries) {
        if let Some(first) = self.source_claims.first() {
            let claims = self.source_claims.iter().map(text).collect();
            set(source, "claims", Node::named(&first.by, Value::List(claims)));
        }
    }

    /// The source that flags name, as the file would write it.
    fn source(&self, report: &Report) -> Option<Value> {
        let kinds: Vec<&Said> = [
            self.keys.first(),
            self.kubeconfig.as_ref(),
            self.from_jwks.as_ref(),
        ]
        .into_iter()
        .flatten()
        .collect();
        if let [first, second, ..] = kinds.as_slice() {
            report.add(
                &Place::named(second.by.clone()),
                format!(
                    "is a second source beside {}: name one here, or several in a file",
                    first.by
                ),
            );
        }
        let misplaced = |said: &Option<Said>, with: &str| {
            if let Some(said) = said {
                report.add(
                    &Place::named(said.by.clone()),
                    format!("goes with {with}: leave it out here"),
                );
            }
        };
        let mut source = Entries::new();
        if self.embedded {
            set(
                &mut source,
                "embedded",
                Node::named(EMBEDDED_DEFAULT, Value::Null),
            );
        } else if let Some(first) = self.keys.first() {
            misplaced(&self.context, "--kubeconfig");
            misplaced(&self.source_ca, "--from-jwks URL");
            let paths = Node::named(&first.by, Value::List(self.keys.iter().map(text).collect()));
            let files = Value::Map(vec![("paths".to_owned(), paths)]);
            set(&mut source, "files", Node::named(&first.by, files));
        } else if self.kubeconfig.is_some() {
            set(&mut source, "apiServer", self.api_server());
        } else if let Some(said) = &self.from_jwks {
            misplaced(&self.context, "--kubeconfig");
            if said.value.contains("://") {
                let mut fields = vec![("url".to_owned(), text(said))];
                if let Some(ca) = &self.source_ca {
                    set(&mut fields, "caFile", text(ca));
                }
                set(&mut source, "jwks", Node::named(&said.by, Value::Map(fields)));
            } else {
                misplaced(&self.source_ca, "--from-jwks URL");
                // A file by its name, whatever characters it has.
                let path = Node::named(&said.by, Value::Text(glob::Pattern::escape(&said.value)));
                let paths = Node::named(&said.by, Value::List(vec![path]));
                let files = Value::Map(vec![("paths".to_owned(), paths)]);
                set(&mut source, "files", Node::named(&said.by, files));
            }
        } else {
            return None;
        }
        self.add_claims(&mut source);
        Some(Value::Map(source))
    }

    fn lay_listeners(&self, root: &mut Entries, report: &Report) {
        let files = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => {
                let fields = vec![
                    ("certFile".to_owned(), text(cert)),
                    ("keyFile".to_owned(), text(key)),
                ];
                Some(Node::named(&cert.by, Value::Map(fields)))
            }
            (Some(cert), None) => {
                report.add(
                    &Place::named(cert.by.clone()),
                    "needs the private key too: --tls-key FILE",
                );
                None
            }
            (None, Some(key)) => {
                report.add(
                    &Place::named(key.by.clone()),
                    "needs the certificate too: --tls-cert FILE",
                );
                None
            }
            (None, None) => None,
        };
        let mut in_file = match find(root, "listeners") {
            Some(Node {
                value: Value::List(list),
                ..
            }) => list.clone(),
            _ => Vec::new(),
        };
        if self.listen.is_empty() && self.listen_http.is_empty() {
            let default = if self.embedded {
                "127.0.0.1:8443"
            } else {
                "[::]:8443"
            };
            match files {
                Some(files) if in_file.is_empty() => {
                    let said = Said {
                        by: files_by(&files),
                        value: default.to_owned(),
                    };
                    set(root, "listeners", list(&said.by, vec![https(&said, files)]));
                }
                Some(files) => {
                    for listener in &mut in_file {
                        if let Value::Map(fields) = &mut listener.value
                            && find(fields, "tls").is_some()
                        {
                            set(fields, "tls", files.clone());
                        }
                    }
                    set(root, "listeners", list(&files_by(&files), in_file));
                }
                None if self.embedded => {
                    let said = Said {
                        by: EMBEDDED_DEFAULT.to_owned(),
                        value: default.to_owned(),
                    };
                    let tls = self_signed(&said.by);
                    set(root, "listeners", list(&said.by, vec![https(&said, tls)]));
                }
                None => {}
            }
            return;
        }
        if let (Some(files), true) = (&files, self.listen.is_empty()) {
            report.add(
                &Place::named(files_by(files)),
                "is for an HTTPS listener, but only --listen-http is named: add --listen ADDR",
            );
        }
        let of_file = in_file.iter().find_map(|listener| match &listener.value {
            Value::Map(fields) => find(fields, "tls").cloned(),
            _ => None,
        });
        let tls = files.or(of_file);
        let mut named = Vec::new();
        for said in &self.listen {
            let tls = tls.clone().unwrap_or_else(|| self_signed(&said.by));
            named.push(https(said, tls));
        }
        for said in &self.listen_http {
            let fields = vec![("address".to_owned(), text(said))];
            named.push(Node::named(&said.by, Value::Map(fields)));
        }
        set(root, "listeners", list("--listen", named));
    }
}

type Entries = Vec<(String, Node)>;

fn text(said: &Said) -> Node {
    Node::named(&said.by, Value::Text(said.value.clone()))
}

fn list(by: &str, nodes: Vec<Node>) -> Node {
    Node::named(by, Value::List(nodes))
}

fn https(address: &Said, tls: Node) -> Node {
    let fields = vec![("address".to_owned(), text(address)), ("tls".to_owned(), tls)];
    Node::named(&address.by, Value::Map(fields))
}

fn self_signed(by: &str) -> Node {
    let fields = vec![("selfSigned".to_owned(), Node::named(by, Value::Null))];
    Node::named(by, Value::Map(fields))
}

fn files_by(node: &Node) -> String {
    match &node.origin {
        Origin::Named(by) => by.clone(),
        Origin::Line(_) => "--tls-cert".to_owned(),
    }
}

fn find<'a>(entries: &'a Entries, name: &str) -> Option<&'a Node> {
    entries
        .iter()
        .find(|(entry, _)| entry == name)
        .map(|(_, node)| node)
}

fn set(entries: &mut Entries, name: &str, node: Node) {
    match entries.iter_mut().find(|(entry, _)| entry == name) {
        Some((_, old)) => *old = node,
        None => entries.push((name.to_owned(), node)),
    }
}

/// Sets a field of a mapping that may not be there yet.
fn set_in(entries: &mut Entries, outer: &str, name: &str, node: Node) {
    if let Some((
        _,
        Node {
            value: Value::Map(inner),
            ..
        },
    )) = entries.iter_mut().find(|(entry, _)| entry == outer)
    {
        set(inner, name, node);
        return;
    }
    let Origin::Named(by) = node.origin.clone() else {
        return;
    };
    let inner = Value::Map(vec![(name.to_owned(), node)]);
    set(entries, outer, Node::named(&by, inner));
}
