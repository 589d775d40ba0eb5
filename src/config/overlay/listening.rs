//! The listeners that flags and variables speak of.

use super::edit::{Entries, files_by, find, https, list, self_signed, set, text};
use super::{EMBEDDED_DEFAULT, Overlay, Said};
use crate::config::problem::{Place, Report};
use crate::config::tree::{Node, Value};

impl Overlay {
    pub(super) fn lay_listeners(&self, root: &mut Entries, report: &Report) {
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
