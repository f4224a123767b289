//! The API server: from a request to an answer, over HTTP or by direct call.

pub mod authn;
pub mod authz;
pub mod discovery;
pub mod flow;
pub mod health;
pub mod metrics;
pub mod negotiate;
pub mod request;
pub mod version;
