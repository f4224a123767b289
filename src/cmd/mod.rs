//! The composition root: what each subcommand is made of.

mod admin;
mod agent;
mod auditing;
mod authentication;
mod authorization;
mod backend;
mod bootstrap;
mod cluster;
pub mod config;
mod damage;
mod datastore;
mod dialer;
mod encryption;
mod join;
mod kubeconfig;
mod loops;
mod member;
mod node;
mod notify;
mod published;
mod renewal;
mod server;
mod signals;
mod signing;
mod snapshot;
mod token;
mod wait;
mod witness;

use std::ffi::OsString;

use anyhow::{Context, Result};

use config::Task;

/// Does what the command line asks for, and returns when that is done.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<()> {
    match config::parse(args)? {
        Task::Server(config) if config.witness => small_runtime()?.block_on(witness::run(*config)),
        Task::Server(config) => runtime()?.block_on(async move {
            match &config.reset {
                Some(reset) => {
                    let from = reset.from.as_deref().map(|path| (path, reset.other_cluster));
                    snapshot::reset(&config.data_dir, &config.encryption, from).await
                }
                None => server::run(*config).await,
            }
        }),
        Task::Agent(config) => runtime()?.block_on(agent::run(*config)),
        Task::PrintToken { data_dir } => token::print(&data_dir),
        Task::Snapshot(command) => runtime()?.block_on(snapshot::run(command)),
        Task::SecretsEncrypt(command) => runtime()?.block_on(encryption::run(command)),
        Task::Member(command) => runtime()?.block_on(member::run(command)),
        Task::Wait { kubeconfig, limit } => runtime()?.block_on(wait::run(&kubeconfig, limit)),
    }
}

/// One thread: there is next to nothing to do.
fn small_runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")
}

/// Few threads: the work is short and waits mostly, and each thread costs memory.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")
}
