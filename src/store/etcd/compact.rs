//! Lets etcd forget what is older than the history that servers keep. The server that leads does it.

use std::time::Duration;

use super::client::Etcd;
use crate::store::Role;
use tokio::sync::watch;

/// Never ends. Compacts to what was the newest revision `age` ago.
pub(super) async fn run(etcd: Etcd, role: watch::Receiver<Role>, age: Duration) {
    let (mut before, mut compacted) = (etcd.newest(), 0);
    loop {
        tokio::time::sleep(age).await;
        let leads = matches!(*role.borrow(), Role::Leader { .. });
        if leads && before > compacted {
            match etcd.compact(before).await {
                Ok(()) => compacted = before,
                Err(error) => tracing::debug!(%error, "cannot compact etcd"),
            }
        }
        before = etcd.newest();
    }
}
