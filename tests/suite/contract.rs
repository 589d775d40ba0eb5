//! The wire contract, as a verifier meets it: over the real router, and over real sockets.

mod caching;
mod documents;
mod drain;
mod encodings;
pub(crate) mod house;
mod limits;
mod requests;
mod sockets;
