//! The integration tests: the wire contract over the real router, the real binary, real servers.

#[cfg(test)]
mod admin;
#[cfg(test)]
mod house;
mod contract;
#[cfg(test)]
mod real;
