//! The Kubernetes client that every loop uses, over a backend: in process, or TLS to a server.

pub mod backend;
