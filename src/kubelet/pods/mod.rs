//! Pods: what is wished for, what is seen, what comes next, and what is told.

pub mod admit;
pub mod allocate;
pub mod backoff;
pub mod downward;
pub mod env;
pub mod expand;
pub mod hooks;
pub mod kill;
pub mod make;
pub mod manager;
pub mod plan;
pub mod report;
pub mod resize;
pub mod runtime;
pub mod seen;
pub mod sources;
pub mod start;
pub mod status;
pub mod worker;
