//! What is decided, and nothing else: keys, ledgers, the rules of rotation, what is published. No I/O and no clock: time is
//! an argument.

pub mod display;
pub mod key;
pub mod publication;
pub mod ring;
pub mod steady;
