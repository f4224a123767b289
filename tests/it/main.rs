//! Tests of the program's parts as its users meet them: real files, real processes, no privileges.

mod api;
mod backup;
mod bad_input;
mod crash;
mod encryption;
mod etcd;
#[path = "../../src/store/tests/etcd_server.rs"]
mod etcd_server;
mod joining;
mod kms;
mod server;
mod servers;
