//! The service against real programs: API server, identity providers, verifiers, Prometheus.
//!
//! Each test names the programs that it plays with; where one is not there, it says SKIPPED on
//! standard error and passes. `tests/run` obtains them all and lets nothing be skipped.

pub(crate) mod api;
pub(crate) mod apiserver;
pub(crate) mod cluster;
pub(crate) mod control_plane;
pub(crate) mod http;
pub(crate) mod namespace;
pub(crate) mod pki;
pub(crate) mod program;
pub(crate) mod programs;
pub(crate) mod replicas;
pub(crate) mod running_verifiers;
pub(crate) mod service;
pub(crate) mod tokens;
pub(crate) mod wire;
pub(crate) mod world;

mod convergence;
mod documents;
mod envoy;
mod key_files;
mod manifests;
mod openbao;
mod outage;
mod prometheus;
mod provider;
mod relying_party;
mod revocation;
mod rotation;
mod soak;
mod stores;
mod token_shape;
mod trouble;
mod verifiers;
mod walkthrough;
mod wrong_cluster;
mod wrong_endpoint;
