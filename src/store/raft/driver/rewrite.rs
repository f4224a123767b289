//! Writing everything anew, so that nothing is left on the disk as it was written before: after keys or
//! what they are for have changed.
//!
//! A checkpoint of the present state is taken afresh, the log is cut there, and then the files of the
//! log that hold what was cut are removed. A witness, whose log others may need, writes the end of it again. History in memory stays, so watches go on; a restart soon
//! after finds less of it.

use tokio::sync::oneshot;

use super::Driver;
use crate::base::error::Chain;
use crate::base::service::Scope;
use crate::store::base::Base;
use crate::store::raft::log::{LogError, LogWrite};

/// Why not everything was written anew. What was there is there still.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    #[error("cannot write the store anew: {reason}")]
    Failed { reason: String },
    #[error("the store is closed")]
    Closed,
}

pub(in crate::store) type RewriteReply = oneshot::Sender<Result<(), RewriteError>>;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// For entries up to here, which may be in the log as they were written before, to be applied.
    Waiting {
        after: u64,
    },
    Taking,
    /// The next write cuts the log.
    Cut,
    Cutting,
    Scrubbing,
}

#[derive(Default)]
pub(super) struct Rewrite {
    /// Whoever asks while one is under way waits for the next.
    waiting: Vec<RewriteReply>,
    running: Option<(Stage, Vec<RewriteReply>)>,
}

impl Rewrite {
    pub fn push(&mut self, reply: RewriteReply) {
        self.waiting.push(reply);
    }

    pub fn is_taking(&self) -> bool {
        self.is_at(Stage::Taking)
    }

    fn is_at(&self, stage: Stage) -> bool {
        self.running.as_ref().is_some_and(|(at, _)| *at == stage)
    }

    fn go_to(&mut self, stage: Stage) {
        if let Some((at, _)) = &mut self.running {
            *at = stage;
        }
    }

    pub fn end(&mut self, result: Result<(), RewriteError>) {
        for reply in self.running.take().into_iter().flat_map(|(_, replies)| replies) {
            let _ = reply.send(result.clone()); // whoever asked may have gone
        }
    }
}

impl Driver {
    /// The state to be written anew now, if that is asked for and possible.
    pub(super) fn begin_rewrite(&mut self) -> Option<Base> {
        if self.rewrite.running.is_none() && !self.rewrite.waiting.is_empty() {
            let stage = Stage::Waiting { after: self.node.last_index() };
            self.rewrite.running = Some((stage, std::mem::take(&mut self.rewrite.waiting)));
        }
        let Some((Stage::Waiting { after }, _)) = self.rewrite.running else { return None };
        if self.failed {
            self.rewrite.end(Err(RewriteError::Failed { reason: "the log cannot be written".into() }));
            return None;
        }
        if self.applier.state().position().index < after.min(self.node.last_index()) {
            return None;
        }
        self.rewrite.go_to(Stage::Taking);
        Some(Base { state: self.applier.logged(), members: self.members.current().clone() })
    }

    pub(super) fn rewrite_taken(&mut self, cut: bool) {
        if self.rewrite.is_taking() {
            // A state that came from elsewhere meanwhile is newer: once more.
            self.rewrite.go_to(if cut { Stage::Cut } else { Stage::Waiting { after: 0 } });
        }
    }

    pub(super) fn rewrite_failed(&mut self, error: &(dyn std::error::Error + 'static)) {
        if self.rewrite.is_taking() {
            self.rewrite.end(Err(RewriteError::Failed { reason: Chain(error).to_string() }));
        }
    }

    pub(super) fn rewrite_writes(&mut self, write: &LogWrite) {
        // A state from elsewhere takes the place of the whole log: a cut as well.
        if (write.cut.is_some() || write.reset.is_some()) && self.rewrite.is_at(Stage::Cut) {
            self.rewrite.go_to(Stage::Cutting);
        }
    }

    pub(super) fn rewrite_written(&mut self, is_written: bool) {
        let is_cutting = self.rewrite.is_at(Stage::Cutting);
        if !is_written && (is_cutting || self.rewrite.is_at(Stage::Cut)) {
            return self.rewrite.end(Err(RewriteError::Failed { reason: "the log could not be cut".into() }));
        }
        if !is_cutting {
            return;
        }
        self.rewrite.go_to(Stage::Scrubbing);
        let log = self.node.log().clone();
        self.scrubbing = Some(Box::pin(Scope::blocking(move || log.scrub())));
    }

    pub(super) fn on_scrubbed(&mut self, scrubbed: Result<(), LogError>) {
        let failed = |error: LogError| RewriteError::Failed { reason: Chain(&error).to_string() };
        self.rewrite.end(scrubbed.map_err(failed));
    }
}
