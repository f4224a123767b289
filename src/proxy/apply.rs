//! Bringing the kernel from the last ruleset to the next.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::ruleset::{self, Node, Ruleset};

/// The kernel's table, as far as this process knows it.
pub struct Table {
    node: Node,
    /// What was last put in; unknown before the first time and after a failure.
    last: Option<Ruleset>,
}

/// Why the kernel does not have the ruleset it should.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("cannot run nft; install the nftables package")]
    Run(#[source] std::io::Error),
    #[error("nft refused the ruleset: {0}")]
    Refused(String),
}

impl Table {
    pub fn new(node: Node) -> Self {
        Self { node, last: None }
    }

    /// Makes the kernel hold `next`, in one transaction: packets see the old rules or the new ones.
    ///
    /// The first call replaces whatever is there, which a process before this one may have left.
    /// So does the next call after a failure.
    pub async fn apply(&mut self, next: Ruleset) -> Result<(), ApplyError> {
        let script = match &self.last {
            Some(last) => ruleset::difference(&self.node.table, last, &next),
            None => {
                let base = ruleset::base_script(&self.node);
                base + &ruleset::difference(&self.node.table, &Ruleset::default(), &next)
            }
        };
        if script.is_empty() {
            return Ok(());
        }
        self.last = None;
        run(&script).await?;
        self.last = Some(next);
        Ok(())
    }

    /// Forgets what is in the kernel if somebody took the table away.
    pub async fn check(&mut self) {
        let listed = Command::new("nft")
            .args(["-t", "list", "chain", "ip", &self.node.table, "services"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if self.last.is_some() && listed.await.is_ok_and(|status| !status.success()) {
            tracing::warn!(table = self.node.table, "the service rules were taken away; putting them back");
            self.last = None;
        }
    }

    pub fn is_current(&self) -> bool {
        self.last.is_some()
    }
}

async fn run(script: &str) -> Result<(), ApplyError> {
    let mut nft = Command::new("nft");
    nft.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = nft.spawn().map_err(ApplyError::Run)?;
    if let Some(mut input) = child.stdin.take() {
        // If nft ends early, what it says on standard error is the better report.
        let _ = input.write_all(script.as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(ApplyError::Run)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(ApplyError::Refused(said.lines().take(5).collect::<Vec<_>>().join("; ")))
}
