//! The composition root: what each subcommand is made of.

pub mod config;
mod token;

use std::ffi::OsString;

use anyhow::Result;

use config::Task;

/// Does what the command line asks for, and returns when that is done.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<()> {
    match config::parse(args)? {
        Task::Server(_) => anyhow::bail!("this build has no server yet"),
        Task::Agent(_) => anyhow::bail!("this build has no agent yet"),
        Task::PrintToken { data_dir } => token::print(&data_dir),
    }
}
