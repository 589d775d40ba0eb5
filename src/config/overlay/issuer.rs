//! The one issuer that flags and variables speak of.

use super::edit::{Entries, find, set, text};
use super::{EMBEDDED_DEFAULT, Overlay, Said};
use crate::config::listeners;
use crate::config::problem::{Place, Report};
use crate::config::tree::{Node, Value};

impl Overlay {
    pub(super) fn lay_issuer(&self, root: &mut Entries, report: &Report) {
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
            // That it is missing is reported when it is read.
            set(
                issuer,
                "issuer",
                Node::named("--issuer", Value::Text(String::new())),
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
                    .chain(&self.allow_exec)
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
            ("allowExec", &self.allow_exec),
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
            misplaced(&self.allow_exec, "--kubeconfig");
            misplaced(&self.source_ca, "--from-jwks URL");
            let paths = Node::named(&first.by, Value::List(self.keys.iter().map(text).collect()));
            let files = Value::Map(vec![("paths".to_owned(), paths)]);
            set(&mut source, "files", Node::named(&first.by, files));
        } else if self.kubeconfig.is_some() {
            set(&mut source, "apiServer", self.api_server());
        } else if let Some(said) = &self.from_jwks {
            misplaced(&self.context, "--kubeconfig");
            misplaced(&self.allow_exec, "--kubeconfig");
            if said.value.contains("://") {
                let mut fields = vec![("url".to_owned(), text(said))];
                if let Some(ca) = &self.source_ca {
                    set(&mut fields, "caFile", text(ca));
                }
                set(&mut source, "jwks", Node::named(&said.by, Value::Map(fields)));
            } else {
                misplaced(&self.source_ca, "--from-jwks URL");
                // A file by its name, whatever characters it has.
                let path = Node::named(&said.by, Value::Text(crate::source::glob::escape(&said.value)));
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
}
