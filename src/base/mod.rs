//! What knows nothing of Kubernetes.

pub mod address;
pub mod backoff;
pub mod clock;
pub mod error;
pub mod escape;
pub mod expiring;
pub mod fs;
pub mod gate;
pub mod hex;
pub mod queue;
pub mod rand;
pub mod seal;
pub mod service;
pub mod telemetry;
pub mod websocket;
