//! The Kubernetes client that every loop uses, over a backend: in process, or TLS to a server.
//!
//! [`Client`] makes requests; [`Cache`] follows resources and offers [`Snapshot`]s of them;
//! [`Recorder`] tells users what happened. None of them knows where the server is.

pub mod backend;
pub mod cache;
mod client;
mod correlate;
mod custom;
mod events;
mod follow;
mod news;
pub mod remote;
mod seen;
pub mod snapshot;
mod subscription;

pub use backend::{Backend, Events};
pub use cache::{Cache, Follow};
pub use client::{Client, DeleteOptions, Propagation};
pub use events::{Note, NoteKind, Recorder};
pub use seen::Seen;
pub use snapshot::Snapshot;
pub use subscription::{Change, Subscription};
