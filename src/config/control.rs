//! `control`, `audit`: where operators' commands are taken, and where they are written down.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::fields::{Field, Mapping, Setting};
use super::listeners;
use super::schema;
use super::sources::Folders;
use crate::control::ControlSettings;
use crate::edge::ListenerSettings;

/// Reads `control`: the address beside the socket in the state folder. The service listens elsewhere for all else.
pub(super) fn read(
    root: &Mapping<'_>,
    folders: Folders<'_>,
    admin: Option<SocketAddr>,
    edge: &[ListenerSettings],
) -> Setting<ControlSettings> {
    root.read("control", |field| {
        control(field, folders, admin, edge).map_or(Setting::Invalid, Setting::Given)
    })
}

fn control(
    field: &Field<'_>,
    folders: Folders<'_>,
    admin: Option<SocketAddr>,
    edge: &[ListenerSettings],
) -> Option<ControlSettings> {
    let control = field.mapping(&schema::CONTROL).given()?;
    let address = control.read("address", |field| {
        field.text_map(|text| {
            let address = listeners::address(text)?;
            let of_edge = |listener: &ListenerSettings| listener.address == address;
            match address.port() {
                0 => Ok(address),
                _ if edge.iter().any(of_edge) => Err(format!(
                    "{address} is a listener of the edge: commands must not face the internet, choose another port"
                )),
                _ if admin == Some(address) => Err(format!(
                    "{address} is the admin listener, which has no TLS: choose another port"
                )),
                _ => Ok(address),
            }
        })
    });
    let path = |of: &Mapping<'_>, name| of.read(name, |field| folders.path(field)).given();
    let tls = control
        .get("tls")
        .and_then(|field: Field<'_>| field.mapping(&schema::CONTROL_TLS).given());
    for (name, what) in [
        (
            "address",
            "write where it listens, such as `127.0.0.1:9443`, or leave `control` out: the socket in the state folder is \
             there without it",
        ),
        (
            "tls",
            "write the certificate that the control listener shows: `tls: {certFile: …, keyFile: …}`",
        ),
        (
            "clientCaFile",
            "write the CA whose client certificates may give commands: without one anybody could revoke keys",
        ),
    ] {
        if control.get(name).is_none() {
            control.missing(name, what);
        }
    }
    if let Some(tls) = &tls {
        for name in ["certFile", "keyFile"] {
            if tls.get(name).is_none() {
                tls.missing(name, "write the name of a PEM file");
            }
        }
    }
    let tls = tls?;
    let (cert, key) = (path(&tls, "certFile"), path(&tls, "keyFile"));
    let client_ca = path(&control, "clientCaFile");
    Some(ControlSettings {
        address: address.given()?,
        cert: cert?,
        key: key?,
        client_ca: client_ca?,
    })
}

/// Reads `audit`: the file, if there is to be one.
pub(super) fn audit(root: &Mapping<'_>, folders: Folders<'_>) -> Setting<PathBuf> {
    root.read("audit", |field| {
        let Setting::Given(audit) = field.mapping(&schema::AUDIT) else {
            return Setting::Invalid;
        };
        match audit.read("file", |field| folders.path(field)) {
            Setting::Absent => {
                audit.missing(
                    "file",
                    "write the file that a line is appended to for each command, or leave `audit` out: the log has them",
                );
                Setting::Invalid
            }
            file => file,
        }
    })
}
