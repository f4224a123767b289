//! What we serve: one file per resource, one row each in a table.

pub mod def;
pub mod names;
