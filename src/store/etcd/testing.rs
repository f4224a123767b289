//! What tests do to etcd behind the store's back.

use super::client::Etcd;
use super::layout::put;
use super::proto::TxnRequest;
use super::txn;
use crate::object::Revision;
use crate::store::command::Command;

/// Writes as a server would that takes itself for the leader of `term`; tells whether it was written.
pub(in crate::store) async fn write_in_term(etcd: &Etcd, command: &Command, term: u64) -> bool {
    let answer = etcd.txn(txn::request(etcd.layout(), command, term)).await.expect("an answer");
    answer.succeeded
}

/// Somebody else writes into etcd, and all history until then is compacted. Tells the revision.
pub(in crate::store) async fn pass_time_and_compact(etcd: &Etcd) -> Revision {
    for _ in 0..3 {
        let success = vec![put("/somebody/else".into(), "x".into(), 0)];
        etcd.txn(TxnRequest { success, ..TxnRequest::default() }).await.expect("a write");
    }
    etcd.compact(etcd.newest()).await.expect("a compaction");
    Revision(etcd.newest())
}
