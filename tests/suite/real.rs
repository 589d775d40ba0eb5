//! The service against real programs: API server, identity providers, verifiers, Prometheus.
//!
//! Each test names the programs that it plays with; where one is not there, it says SKIPPED on
//! standard error and passes. `tests/run` obtains them all and lets nothing be skipped.

pub(crate) mod cluster;
pub(crate) mod http;
pub(crate) mod pki;
pub(crate) mod program;
pub(crate) mod programs;
pub(crate) mod service;
pub(crate) mod tokens;
pub(crate) mod world;

mod documents;
mod envoy;
mod key_files;
mod manifests;
mod openbao;
mod prometheus;
mod provider;
mod relying_party;
mod rotation;
mod stores;
mod token_shape;
mod trouble;
mod verifiers;
mod walkthrough;
