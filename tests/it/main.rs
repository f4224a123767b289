//! Tests of the program's parts as its users meet them: real files, real processes, no privileges.

#[path = "../common/admin.rs"]
mod admin;
mod api;
mod authorization;
mod backup;
mod bad_input;
mod crash;
mod encryption;
mod etcd;
#[path = "../../src/store/tests/etcd_server.rs"]
mod etcd_server;
mod joining;
mod kms;
#[path = "../../src/api/loopback.rs"]
mod loopback;
mod server;
mod servers;
#[path = "../common/watch.rs"]
mod watch;
