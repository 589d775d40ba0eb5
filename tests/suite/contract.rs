//! The wire contract, as a verifier meets it: over the real router, and over real sockets.

mod caching;
mod certificates;
mod crowd;
mod documents;
mod drain;
mod encodings;
mod limits;
mod requests;
mod sockets;
mod tls;
mod vocabulary;
