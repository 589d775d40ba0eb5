//! The integration tests: the wire contract over the real router, the real binary, real servers.
