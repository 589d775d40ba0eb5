//! `listeners`, `admin`: where the service can be reached.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::fields::{Field, Mapping, Setting};
use super::schema;
use super::sources::Folders;
use crate::edge::{ListenerSettings, TlsSettings};

/// The HTTPS listener where none is named.
pub(super) const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 8443);
/// The admin listener where none is named.
pub const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9180);

/// Parses `127.0.0.1:8443`, `[::]:8443`, `:8443` (every address) or `localhost:8443`.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Some((host, Ok(port))) = text
        .rsplit_once(':')
        .map(|(host, port)| (host, port.parse::<u16>()))
    {
        match host {
            "" => return Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)),
            "localhost" => {
                return Ok(SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port));
            }
            _ => {}
        }
    }
    Err(format!(
        "`{text}` is no address: write IP:PORT, such as [::]:8443 for every address or 127.0.0.1:8443 for this machine alone"
    ))
}

/// Reads the listeners.
pub(super) fn read(root: &Mapping<'_>, folders: Folders<'_>) -> Option<Vec<ListenerSettings>> {
    let Some(field) = root.get("listeners") else {
        return Some(vec![ListenerSettings {
            address: LISTEN,
            tls: Some(self_signed(folders, Vec::new())),
            hsts: true,
        }]);
    };
    let entries = field.list().given()?;
    if entries.is_empty() {
        return field
            .refuse("is an empty list: write at least one listener, or leave it out for [::]:8443 with HTTPS")
            .given();
    }
    let mut listeners: Vec<ListenerSettings> = Vec::new();
    for entry in &entries {
        let Some(listener) = listener(entry, folders) else {
            continue;
        };
        if listener.address.port() != 0 && listeners.iter().any(|other| other.address == listener.address) {
            entry.report.add(
                &entry.place,
                format!("listens on {} like another listener: keep one", listener.address),
            );
        }
        listeners.push(listener);
    }
    Some(listeners)
}

fn listener(field: &Field<'_>, folders: Folders<'_>) -> Option<ListenerSettings> {
    let listener = field.mapping(&schema::LISTENER).given()?;
    if listener.get("address").is_none() {
        listener.missing("address", "write where it listens, such as `[::]:8443`");
    }
    let address = listener.read("address", |field| field.text_map(address));
    let tls = listener.read("tls", |field| tls(field, folders));
    let encrypted = !matches!(tls, Setting::Absent);
    let hsts = listener.read("hsts", Field::flag);
    if let (true, Setting::Given(false), Some(field)) = (encrypted, hsts, listener.get("hsts")) {
        field.refuse::<()>(
            "HSTS is always sent on TLS: leave it out (it is for a plain listener behind a balancer)",
        );
    }
    Some(ListenerSettings {
        address: address.given()?,
        tls: tls.map(Some).or(None)?,
        hsts: hsts.or(encrypted)?,
    })
}

fn tls(field: &Field<'_>, folders: Folders<'_>) -> Setting<TlsSettings> {
    let Setting::Given(tls) = field.mapping(&schema::TLS) else {
        return Setting::Invalid;
    };
    let path = |name| tls.read(name, |field| folders.path(field));
    let (cert, key) = (path("certFile"), path("keyFile"));
    let own = tls.read("selfSigned", |field| {
        field.mapping(&schema::SELF_SIGNED).map(|own| {
            let names = own.read("names", Field::texts).or(Vec::new());
            self_signed(folders, names.unwrap_or_default())
        })
    });
    match (cert, key, own) {
        (Setting::Given(cert), Setting::Given(key), Setting::Absent) => {
            Setting::Given(TlsSettings::Files { cert, key })
        }
        (Setting::Absent, Setting::Absent, Setting::Given(own)) => Setting::Given(own),
        (Setting::Absent, Setting::Absent, Setting::Absent) => field.refuse(
            "names no certificate: write certFile and keyFile, or `selfSigned: {}`, or leave `tls` out for plain HTTP",
        ),
        (Setting::Given(_), Setting::Absent, Setting::Absent) => {
            tls.missing("keyFile", "write the private key of the certificate (PEM)");
            Setting::Invalid
        }
        (Setting::Absent, Setting::Given(_), Setting::Absent) => {
            tls.missing(
                "certFile",
                "write the certificate of the key (PEM, leaf first)",
            );
            Setting::Invalid
        }
        (Setting::Given(_), _, Setting::Given(_)) | (_, Setting::Given(_), Setting::Given(_)) => {
            field.refuse("has files and `selfSigned` at once: keep one")
        }
        _ => Setting::Invalid,
    }
}

fn self_signed(folders: Folders<'_>, names: Vec<String>) -> TlsSettings {
    TlsSettings::SelfSigned {
        folder: folders.state.join("tls"),
        names,
    }
}

/// Reads `admin.address`, which must not be an address of the edge.
pub(super) fn admin(root: &Mapping<'_>, listeners: &[ListenerSettings]) -> Option<SocketAddr> {
    let Some(field) = root.get("admin") else {
        return Some(ADMIN);
    };
    let admin = field.mapping(&schema::ADMIN).given()?;
    let admin_address = admin.read("address", |field| field.text_map(address)).or(ADMIN)?;
    let shared = listeners
        .iter()
        .any(|listener| listener.address.port() != 0 && listener.address == admin_address);
    if shared {
        admin.report.add(
            &admin.get("address").map_or(admin.place.clone(), |field| field.place),
            format!(
                "{admin_address} is a listener of the edge: metrics and health must not face the internet, choose another port"
            ),
        );
    }
    Some(admin_address)
}
