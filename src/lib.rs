//! The public face of a Kubernetes cluster's service-account keys.
//!
//! The data runs one way, and so do the imports (each line may use those above it):
//!
//! | room | what it is |
//! |---|---|
//! | [`display`] | text that others wrote, made safe to show (core) |
//! | [`key`] | a public key: PEM, JWK, `kid`, what may be published (core) |
//! | [`ring`] | ledger, merge, rotation rules: (ledger, listing, now) → (ledger, key set) (core) |
//! | [`publication`] | key set → both documents: bytes, media type, cache policy, entity tag; issuer URLs (core) |
//! | `steady` | what may be believed of a wall clock that others read (core) |
//! | [`pem`] | certificates and private keys for TLS, from PEM: whole, or refused with the line (pure) |
//! | `certificate` | why a peer's certificate is refused, in words (pure) |
//! | [`representation`] | a publication as it is sent: encodings, headers (pure) |
//! | [`catalog`] | request path → publication; readers never lock |
//! | [`clock`], [`fs`], [`metrics`] | the one wall clock; bounded reads of files; the counters that every room above increments |
//! | `listen` | sockets, the accept loop, places for connections |
//! | [`client`] | HTTP over our own connections; API servers, with all that their credentials come from |
//! | `objects` | objects that are written only over the version that was read: `ConfigMap`s, buckets |
//! | [`source`], [`store`] | adapters that read listings, and that keep ledgers |
//! | [`issuer`] | one issuer's task: owns its state and ties the above together |
//! | [`edge`] | HTTPS, TLS material, limits, router: all that faces the internet |
//! | [`admin`] | metrics, health: on a listener of its own |
//! | [`control`] | operators' commands: on a socket in the state folder, or over mutual TLS |
//! | [`config`] | what an operator writes → validated settings; every error names the field |
//! | [`cli`] | one file per command |
//!
//! What is marked core is the crate `oidc-issuer-core` in `crates/core`: no tokio, no hyper, no clock, no files.

#![cfg_attr(
    test,
    expect(clippy::disallowed_methods, reason = "tests read what they wrote themselves")
)]

pub mod admin;
pub mod catalog;
mod certificate;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod control;
pub mod edge;
pub mod fs;
pub mod issuer;
mod listen;
pub mod metrics;
mod objects;
pub mod pem;
pub mod representation;
pub mod source;
pub mod store;

pub use oidc_issuer_core::{display, key, publication, ring};
