//! Judges of what was seen from outside. They share no code with the store: they know histories only.
//!
//! - [`linear`]: is there an order of all operations on a key that explains every answer?
//! - [`order`]: do revisions rise with time, and is every list the state at its revision?
//! - [`watches`]: did every watcher get each change once, in order, with none left out?
//! - [`replicas`]: do servers that applied the same entries hold the same bytes?

pub mod history;
pub mod linear;
pub mod order;
pub mod replicas;
pub mod watches;
