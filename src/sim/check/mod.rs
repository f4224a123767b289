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

use history::{Changes, Fault, Item, Op, Session};

/// All that can be said of what clients and watchers were told. `skip` says which keys promise less; unless
/// `reads_rise`, servers may differ in how new a revision they show.
pub fn judge(ops: &[Op], sessions: &[Session], skip: impl Fn(&str) -> bool, reads_rise: bool) -> Result<(), Fault> {
    let told = sessions.iter().flat_map(|session| &session.items).filter_map(|(_, item)| match item {
        Item::Event(told) => Some(told),
        Item::Bookmark(_) => None,
    });
    let changes = Changes::gather(told, ops)?;
    order::check(ops, &changes, &skip, reads_rise)?;
    linear::check(ops, &changes, &skip)?;
    watches::check(sessions, &changes, skip)
}
