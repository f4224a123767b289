//! Admission webhooks: what others in the cluster have to say about a write.
//!
//! Which hooks are asked, and what their answers mean, is worked out in [`rules`] and [`review`], which
//! are pure; [`call`] does the calling. Hooks are never asked about the objects that configure
//! admission itself, so that a broken one can always be removed.

pub mod call;
mod dispatch;
pub mod review;
pub mod rules;

pub use call::Caller;
pub(in crate::api) use call::{authorities, by_dialer};
