//! What the embedded default prints: how to try it.

use std::net::SocketAddr;

use super::flags::Asked;
use crate::config::Settings;
use crate::display;
use crate::edge::TlsSettings;

/// The three commands to try next; `addresses` are those that are listened on.
pub(super) fn text(asked: &Asked, settings: &Settings, addresses: &[SocketAddr]) -> Option<String> {
    let issuer = &settings.issuers.first()?.profile.issuer;
    let tls = settings
        .listeners
        .iter()
        .zip(addresses)
        .find_map(|(listener, address)| {
            let Some(TlsSettings::SelfSigned { folder, .. }) = &listener.tls else {
                return None;
            };
            Some((folder.join("ca.crt"), address.port()))
        });
    let (ca, port) = tls?;
    let curl = format!("curl --cacert {}", display::shell_word(&ca));
    // The port was chosen by the system: the issuer does not name it.
    let curl = match issuer.port() {
        named if named == port => curl,
        named => format!("{curl} --connect-to localhost:{named}:localhost:{port}"),
    };
    let flags = asked.flags_again();
    let program = program();
    Some(format!(
        "Serving {issuer} with a signing key of its own, for trying the service: NOT FOR PRODUCTION.\n\
         Try next:\n\
         \n  {curl} {issuer}/.well-known/openid-configuration\
         \n  {curl} {jwks}\
         \n  {program} token{flags} --audience vault\n\n",
        jwks = settings.issuers.first()?.profile.jwks_uri,
    ))
}

/// This program as it was called, so that the command works where it is not in the path.
fn program() -> String {
    let called = std::env::args_os().next();
    let called = called.filter(|called| called.as_encoded_bytes().contains(&b'/'));
    called.map_or_else(|| "oidc-issuer".to_owned(), display::shell_word)
}
