//! The API object model: pure data and functions, no clock, no IO.

pub mod call;
pub mod cel;
pub mod codec;
pub mod cron;
pub mod field;
pub mod gvk;
pub mod intstr;
pub mod key;
pub mod kind;
pub mod meta;
pub mod object;
pub mod patch;
pub mod pick;
pub mod quantity;
pub mod quota;
pub mod quote;
pub mod schema;
pub mod status;
pub mod sums;
pub mod time;
pub mod tree;
pub mod view;
pub mod zone;

pub use call::{Answer, Body, Call, Encoding, Event, List, Options, PatchKind, Reply, Target, User, Verb};
pub use field::{FieldError, FieldErrors};
pub use gvk::Gvk;
pub use intstr::IntOrString;
pub use key::{GroupResource, Key, Revision};
pub use kind::Kind;
pub use meta::{Meta, OwnerReference, StringMap};
pub use object::{Object, ObjectRef, View};
pub use quantity::Quantity;
pub use quote::Quoted;
pub use status::{Reason, Status};
pub use time::Timestamp;
pub use tree::{Tree, TreePath};
