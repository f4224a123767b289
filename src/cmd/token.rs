//! `skiff token`: prints what an agent needs to join.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::base::fs;

pub fn print(data_dir: &Path) -> Result<()> {
    let path = data_dir.join("server/token");
    let token = fs::read_if_there(&path).context("cannot read the token; root may")?;
    let Some(token) = token else {
        bail!("no token in {}: has `skiff server` run with this --data-dir?", path.display());
    };
    println!("{}", token.trim());
    Ok(())
}
