//! What makes a node possible, and what makes it good. One file for each concern.

pub mod affinity;
pub mod basic;
pub mod images;
pub mod resources;
pub mod spread;
pub mod volumes;
