//! The API server: from a request to an answer, over HTTP or by direct call.
//!
//! [`pipeline::Api`] answers calls, whoever makes them; [`http`] makes calls of requests and answers of
//! replies; [`server`] has the sockets.

pub mod admission;
pub mod aggregate;
pub mod alloc;
pub mod answer;
pub mod audit;
pub mod authn;
pub mod authz;
mod body;
mod counting;
pub mod crd;
pub mod discovery;
pub mod elsewhere;
mod encode;
pub mod exchange;
pub mod expiry;
pub mod extension;
pub mod flow;
mod gather;
pub mod health;
pub mod hooks;
mod http;
mod index;
#[cfg(test)]
mod loopback;
mod measures;
pub mod metrics;
pub mod negotiate;
pub mod openapi;
mod options;
pub mod outgoing;
pub mod pipeline;
mod plain;
pub mod request;
mod respond;
mod route;
pub mod selector;
pub mod server;
pub mod settings;
pub mod slis;
pub mod started;
mod stream;
mod streams;
mod strict;
pub mod subresources;
pub mod version;

pub use pipeline::{Api, Events, Setup};
pub use settings::Settings;

#[cfg(test)]
pub mod tests;
