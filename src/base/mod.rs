//! What knows nothing of Kubernetes.

pub mod clock;
pub mod error;
pub mod rand;
pub mod service;
