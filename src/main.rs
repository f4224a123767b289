//! The executable: parse, run, print the error chain, exit code.

use std::process::ExitCode;

use skiff::{cmd, network};

/// Small and few arenas, and freed pages given back soon: memory is what skiff has least of.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    if let Some(code) = std::env::args().next().and_then(|argv0| network::cni::run_if_named(&argv0)) {
        return code;
    }
    match cmd::run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast::<clap::Error>() {
            Ok(usage) => usage.exit(),
            Err(error) => {
                eprintln!("skiff: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}
