//! The integration tests: the wire contract over the real router, the real binary, real servers.

#![expect(clippy::disallowed_methods, reason = "tests read what they wrote themselves")]

#[cfg(test)]
mod admin;
#[cfg(test)]
mod alerts;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod deployed;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod house;
#[cfg(test)]
mod obtained;
#[cfg(test)]
mod process;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod real;
#[cfg(test)]
mod source_faults;
