//! A witness: votes and keeps the log, so that two others are never without a majority, but has no
//! objects. It leads only to bring another server the newest entries, and then hands over.
//!
//! Its log is bounded: what is cut from it is with the others only. A server that lacks more than the
//! witness has must hear from the one that has it.

use super::Driver;
use crate::base::service::Scope;
use crate::store::keeper::KeepError;
use crate::store::snapshot;

/// What part of the longest log is left when it is cut.
const KEPT_PART: u64 = 2;
/// The same when it is to be written anew: that takes memory.
const REWRITTEN_PART: u64 = 16;

impl Driver {
    /// Lets another server lead, preferably at once.
    pub(super) fn hand_over(&mut self) {
        let members = self.members.current();
        let able: Vec<u64> = members.voters.iter().copied().filter(|id| !self.witnesses.contains(id)).collect();
        self.node.hand_over(&able);
    }

    /// A witness does not lead for long.
    pub(super) fn pass_the_lead(&mut self) {
        if self.is_witness && self.node.is_leader() {
            self.hand_over();
        }
    }

    /// Writes down where the log begins and who the members were then, and cuts it there. When everything
    /// is to be written anew, what is left of the log is written again with the cut.
    pub(super) fn start_hollow_checkpoint(&mut self) {
        let is_afresh = self.begin_rewrite().is_some();
        if !is_afresh && !self.keeper.is_due(0, 1.0) {
            return;
        }
        let part = if is_afresh { REWRITTEN_PART } else { KEPT_PART };
        let position = self.keeper.newest(part).and_then(|index| self.node.position(index));
        let (applied, begins) = (self.applier.state().position().index, self.node.base());
        let position = match position.filter(|at| at.index > begins.index && at.index <= applied) {
            Some(position) => position,
            None if is_afresh => begins,
            None => return self.keeper.wait(),
        };
        let Some(seal) = self.marked_seal() else { return };
        let base = self.applier.hollow_base(position, self.members.at(position.index).clone());
        let (disk, snapshots) = (self.disk.clone(), self.dir.snapshots());
        self.checkpointing = Some(Box::pin(Scope::blocking(move || {
            if position != begins {
                snapshot::save(&*disk, &snapshots, &base, &*seal).map_err(KeepError::Snapshot)?;
            }
            Ok(position)
        })));
    }
}
