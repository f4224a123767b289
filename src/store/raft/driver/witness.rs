//! A witness: votes and keeps the log, so that two others are never without a majority, but has no
//! objects. It leads only to bring another server the newest entries, and then hands over.
//!
//! Its log is bounded: what is cut from it is with the others only. A server that lacks more than the
//! witness has must hear from the one that has it.

use super::Driver;
use crate::base::service::Scope;
use crate::store::keeper::{KeepError, Taken};
use crate::store::snapshot;

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

    /// Writes down where the log begins and who the members were then, and cuts it there.
    pub(super) fn start_hollow_checkpoint(&mut self) {
        let position = self.keeper.half().and_then(|index| self.node.position(index));
        let applied = self.applier.state().position().index;
        let Some(position) = position.filter(|at| at.index > self.node.base().index && at.index <= applied) else {
            return self.keeper.wait();
        };
        let base = self.applier.hollow_base(position, self.members.at(position.index).clone());
        let (disk, snapshots, seal) = (self.disk.clone(), self.dir.snapshots(), self.shared.seal.now());
        self.checkpointing = Some(Box::pin(Scope::blocking(move || {
            snapshot::save(&*disk, &snapshots, &base, &*seal).map_err(KeepError::Snapshot)?;
            Ok(Taken { position, revision: base.state.revision() })
        })));
    }
}
