//! How much of the machine a pod may use: quality classes, amounts, and the tree of control groups.

pub mod amounts;
pub mod qos;
pub mod tree;
