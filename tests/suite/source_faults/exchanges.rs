//! The words that faults of a server are told in.

use super::Fault;
use super::server::{Behaviour, Reply, Transport, ok, response};
use super::world::{Which, World};

/// A fault of an API server.
pub(super) const fn api(
    name: &'static str,
    result: &'static str,
    says: &'static [&'static str],
    breaks: fn(&World),
) -> Fault {
    Fault {
        name,
        source: Which::ApiServer,
        result,
        says,
        breaks,
    }
}

/// A fault that is waited for: of an API server that may take a second only.
pub(super) const fn slow(name: &'static str, says: &'static [&'static str], breaks: fn(&World)) -> Fault {
    Fault {
        name,
        source: Which::Hasty,
        result: "timeout",
        says,
        breaks,
    }
}

/// A fault of a JWKS at a URL.
pub(super) const fn url(
    name: &'static str,
    result: &'static str,
    says: &'static [&'static str],
    breaks: fn(&World),
) -> Fault {
    Fault {
        name,
        source: Which::Jwks,
        result,
        says,
        breaks,
    }
}

pub(super) fn transport(world: &World, transport: Transport) {
    world.serve(|server| server.transport = transport);
}

/// Both documents are answered so.
pub(super) fn both(world: &World, reply: Reply) {
    world.serve(|server| {
        server.discovery = reply.clone();
        server.jwks = reply;
    });
}

pub(super) fn status(world: &World, line: &str, headers: &str) {
    both(world, Reply::Whole(response(line, headers, "{}")));
}

pub(super) fn keys(world: &World, reply: Reply) {
    world.serve(|server| server.jwks = reply);
}

/// The JWKS is answered with 200 and this body.
pub(super) fn body(world: &World, body: impl AsRef<[u8]>) {
    keys(world, Reply::Whole(ok(body)));
}

pub(super) fn claims(world: &World, document: impl AsRef<[u8]>) {
    world.serve(|server: &mut Behaviour| server.discovery = Reply::Whole(ok(document)));
}

pub(super) fn forbidden(world: &World, user: &str) {
    let message = format!("forbidden: User \\\"{user}\\\" cannot get path \\\"/openid/v1/jwks\\\"");
    refused(world, "403 Forbidden", 403, &message);
}

/// Both documents are answered with a `Status`. The message is JSON within quotes.
pub(super) fn refused(world: &World, line: &str, code: u16, message: &str) {
    let status = format!("{{\"kind\":\"Status\",\"message\":\"{message}\",\"code\":{code}}}");
    both(
        world,
        Reply::Whole(response(line, "content-type: application/json\r\n", status)),
    );
}
